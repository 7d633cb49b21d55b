# Ten clients connect to port 7001, and all send a line at the same time.
TIMEFORMAT="all ten answered after %R seconds"
for i in {1..10}; do exec {c[i]}<>/dev/tcp/127.0.0.1/7001; done
time {
    for s in ${c[@]}; do echo hello >&$s; done
    for s in ${c[@]}; do read -u $s; done
}
