# SPDX-License-Identifier: MIT
# How many times better mproc is than each peer: medians with quartiles. data, out and rows come from chart.lua.
set terminal svg noenhanced size 1000, 60 + 22 * rows dynamic font "sans,12" background "white"
set output out
set label "mproc beside its peers: how many times better (medians of alternating rounds, quartiles)" at screen 0.02, screen 1 offset 0, -1.2
set logscale x
set format x "%g"
set yrange [rows + 0.7 : 0.3]
set tmargin 2.5
set grid x
unset key
set border 1
set ytics nomirror scale 0
set xtics nomirror
set lmargin 52
set rmargin 8
set boxwidth 0.7
set style fill solid 0.8 noborder
set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "#444444" front
plot data using (1):1:(1):3:($1 - 0.35):($1 + 0.35):ytic(2) with boxxyerror lc rgb "#3b7dbd", \
     data using 3:1:4:5 with xerrorbars pt 0 lw 1.5 lc rgb "#222222", \
     data using ($5 > $3 ? $5 : $3):1:(sprintf("  %.3g", $3)) with labels left font ",11"
