# SPDX-License-Identifier: MIT
# Other processors' whole systems: Debian's packages for them and a kernel under qemu-system. (qemu-user has no robust lists.)
# For reach.sh alone, which defines what is not defined here. Nothing of the foreign system runs but in its virtual machine, no
# package's script runs at all, and nothing but files below $work is written.

# What these hold is told by the row: Lua as Debian builds it, and all modules that specs load.
system_packages="lua5.4 liblua5.4-dev lua-busted lua-filesystem lua-luv lua-cqueues lua-socket bash dash coreutils grep sed
  findutils diffutils procps util-linux busybox-static libatomic1"

# Debian's architecture, kernel's package: all packages that these need, in $out/packages. Their lists lie below $out.
system_download() {
  local apt
  apt="apt-get $(debian "$out/apt" deb "${REACH_SUITE:-stable}")"
  apt="$apt -o APT::Architecture=$1 -o APT::Architectures=$1 -o APT::Install-Recommends=0"
  $apt update && $apt --download-only install $system_packages "$2"
}

# The packages' files, but for what nobody needs there.
system_unpack() {
  local root=$out/root package
  rm -rf "$root" && mkdir -p "$root"/usr/{bin,sbin,lib} "$root"/{proc,sys,dev,tmp,root,etc,run,mproc} || return 1
  for package in bin sbin lib; do ln -s "usr/$package" "$root/$package"; done
  for package in "$out"/apt/packages/*.deb; do
    case ${package##*/} in perl* | libperl* | dpkg_* | udev_* | linux-libc* | *-firmware*) continue ;; esac
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink --exclude='*/lib/modules/*' \
      --exclude='./usr/share/doc*' --exclude='./usr/share/man*' --exclude='./usr/share/locale*' --exclude='*/gconv/*' \
      --exclude='./usr/lib/*/*.a' || return 1
  done
  ln -sf dash "$root/bin/sh" && ln -sf lua5.4 "$root/bin/lua"
  echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
  echo root:x:0: >"$root/etc/group"
  echo 127.0.0.1 localhost >"$root/etc/hosts"
  mv "$root"/boot/vmlinu[xz]-* "$out/kernel" && rm -rf "$root/boot"
}

# What the kernel starts there. Its last line but those of the kernel is that of run-specs.sh.
system_init() { # specs
  cat <<-END
	#!/bin/busybox sh
	export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/busybox HOME=/root LC_ALL=C
	/bin/busybox mkdir -p /busybox && /bin/busybox --install -s /busybox
	mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs dev /dev
	mkdir -p /dev/shm /dev/pts && mount -t tmpfs shm /dev/shm && mount -t devpts pts /dev/pts && mount -t tmpfs tmp /tmp
	ln -s /proc/self/fd /dev/fd
	date -s @$(date +%s) >/dev/null
	ip link set lo up
	cd /mproc
	export LUA_PATH='lua/?.lua;lua/?/init.lua;./?.lua;;' LUA_CPATH='build/?.so;;' LUA=lua5.4 BUILD=build
	export INSTRUMENTED=1 SPEC_SECONDS=${SPEC_SECONDS:-1200}
	echo "kernel \$(uname -srm), \$(nproc) processors"
	lua5.4 spec/support/smoke.lua && scripts/run-specs.sh build/summary $*
	echo "reach ended after \$(cut -d. -f1 /proc/uptime) s"
	poweroff -f
	END
}

# The tree with its modules, and the specs to run.
system_image() {
  local root=$out/root
  rm -rf "$root/mproc" && mkdir -p "$root/mproc/build" &&
    cp -r bin ctest docs examples lua library scripts soak spec README.md CHANGELOG.md CONTRIBUTING.md "$root/mproc" &&
    (cd "$out/build" && find . -name '*.so' -exec cp --parents '{}' "$root/mproc/build" ';') &&
    system_init "$(system_specs)" >"$root/init" && chmod 755 "$root/init" &&
    (cd "$root" && find . ! -path './usr/include/*' -print0 | cpio --null --create --quiet --format=newc) >"$out/image"
}

spec_modules() {
  local file
  for file in ctest/modules/*.c; do echo "$out/build/$(basename "$file" .c).so"; done
}

# Every module is there, but no compiler, no git and no source package.
system_specs() {
  case ${REACH_SPECS:-smoke} in
    all) find spec -name '*_spec.lua' ! -path 'spec/big/*' ! -path 'spec/project/*' | sort | tr '\n' ' ' ;;
    *) specs ;;
  esac
}

# qemu's name, its machine, the kernel's console
system_boot() {
  timeout -k 10 "${REACH_SECONDS:-7200}" nice -n 10 "$1" $2 -smp 2 -m 3G -nic none -nographic -no-reboot -kernel "$out/kernel" \
    -initrd "$out/image" -append "console=$3 quiet panic=-1" </dev/null 2>&1 | sed -u "s,\r,," >"$out/console.log"
}

# target, architecture, kernel's package, compiler, qemu's name, its machine, the kernel's console
system() {
  is_wanted "$1" || return 0
  local target=$1 cc=$4 out=$work/$1 with end
  if ! command -v "$5" >/dev/null || ! command -v cpio >/dev/null || ! command -v "$cc" >/dev/null; then
    row "$target" "$cc" - "not to be had here: $5, cpio or $cc"
    return
  fi
  mkdir -p "$out"
  if [ ! -e "$out/kernel" ] && ! { system_download "$2" "$3" && system_unpack; } >"$out/packages.log" 2>&1; then
    row "$target" "$cc" - "not to be had here: Debian's packages for $2: $out/packages.log"
    return
  fi
  mkdir -p "$out/include"
  cp -r "$out"/root/usr/include/lua5.4/* "$out"/root/usr/include/*/lua5.4-deb-multiarch.h "$out/include"
  with="$($cc -dumpmachine) gcc $($cc -dumpversion), Lua $(version_of "$out/include")"
  if ! in_make "$target" "$cc" all $(spec_modules) >"$out/make.log" 2>&1 || ! system_image >>"$out/make.log" 2>&1; then
    failed=1
    row "$target" "$with" - "DOES NOT BUILD: $out/make.log"
    return
  fi
  system_boot "$5" "$6" "$7"
  end=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$out/console.log" | tail -n 1)
  case $end in
    *" 0 failed") row "$target" "$with" "$(sed -n 's/^kernel //p' "$out/console.log"), $(system_specs | wc -w) spec files" "$end" ;;
    *) failed=1; row "$target" "$with" "$(system_specs | wc -w) spec files" "FAILED: ${end:-no end}: $out/console.log" ;;
  esac
}
