# SPDX-License-Identifier: MIT
# Builds and tests mproc: `docker build --target debian .` runs what CI runs, `docker build --target alpine .` builds with musl
# and runs the smoke program. Specs trace and pause processes, which the default seccomp profile of a build allows for
# one's own children.

FROM debian:12 AS debian
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY . /mproc
WORKDIR /mproc
RUN make deps test

FROM alpine:3.20 AS alpine
RUN apk add --no-cache build-base linux-headers lua5.4 lua5.4-dev
COPY . /mproc
WORKDIR /mproc
RUN make LUA_INCDIR=/usr/include/lua5.4 \
  && LUA_PATH='lua/?.lua;lua/?/init.lua' LUA_CPATH='build/?.so' lua5.4 spec/support/smoke.lua
