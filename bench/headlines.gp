# SPDX-License-Identifier: MIT
# The README's chart: how many times better mproc is than each peer, one colour a peer. data, out, rows and peers come from
# chart.lua: data's first block has the rows' names, each other block one peer's points, the peer's name ahead.
set terminal svg noenhanced size 800, 90 + 24 * rows dynamic font "sans,14"
set output out
set logscale x
set format x "%g ×"
set xrange [0.3:1000]
set yrange [rows + 0.7 : 0.3]
set grid x lc rgb "#8c959f" lw 0.5
set border 1 lc rgb "#8c959f"
set ytics nomirror scale 0
set xtics nomirror (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
set xlabel "how many times better mproc is (medians; bars from quartile to quartile)"
set lmargin 31
set rmargin 3
set tmargin 4
set key at screen 0.99, screen 0.985 right top vertical maxrows 2 samplen 1 width 2
set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "#8c959f"
array colour[7] = ["#3b7dbd", "#6fb1e8", "#e08214", "#2a9d5c", "#9b59b6", "#d64550", "#8a6d3b"]
set style textbox noborder
plot data index 0 using (NaN):1:ytic(2) notitle, \
     for [i = 1 : peers] data index i using 2:1:3:4 with xerrorbars pt 7 ps 0.8 lw 2 lc rgb colour[i] title columnheader(1)
