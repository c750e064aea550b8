#!/usr/bin/env bash
# growth_plot.sh - the script that draws contrib/plots/growth.svg, on a made-up table.
exec "$(dirname "$0")/../../contrib/plots/growth.py" --check
