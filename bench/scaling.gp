# SPDX-License-Identifier: MIT
# The curves of bench/scaling.lua. data, out and rows (how many) come from chart.lua; each block of the data begins with
# its title and the names of its axes.
set terminal svg size 1000, 300 * ((rows + 1) / 2) dynamic font "sans,12" background "white"
set output out
set multiplot layout (rows + 1) / 2, 2
set logscale xy
set format "%g"
set grid
unset key
do for [i = 0 : rows - 1] {
  stats data index i every ::0::0 using (title = strcol(1), xname = strcol(2), yname = strcol(3), 0) nooutput
  set title title
  set xlabel xname
  set ylabel yname
  set yrange [*:*]
  plot data index i every ::1 using 1:2 with linespoints pt 7 lw 2 lc rgb "#3b7dbd"
}
unset multiplot
