#!/bin/sh
# What the compiler made of the circuits: `sh tdes-lanes/check-assembly.sh`, from the root of the repository.
# Prints, for each function that an engine compiles, how many instructions of which kind it has, and fails if
#  - the AVX-512 stages have no ternary logic, or more than half of their logic is something else;
#  - a stage is not vector code (scalar logic left), or touches the stack more than it has gates to put aside.
set -eu
# The program itself, and not an example of this crate: with that come the libraries of its tests.
cargo build --quiet --release
program=target/release/payhsm
listing=$(mktemp)
trap 'rm -f "$listing"' EXIT
objdump -d --no-show-raw-insn "$program" > "$listing"

awk '
function flush_function() {
    if (name == "") return
    printf "%-22s instructions %5d  ternary %4d  logic %4d  scalar logic %3d  stack %3d\n", \
        name, total, ternary, logic, scalar, stack
    if (name !~ /pass|transpose/) {
        if (name ~ /avx512/ && ternary * 2 < ternary + logic) bad = bad "\n" name ": too little ternary logic"
        if (scalar > 20) bad = bad "\n" name ": scalar code left"
        if (stack > 260) bad = bad "\n" name ": spills"
        if (ternary + logic < 400) bad = bad "\n" name ": no vector code"
        seen++
    }
}
/^[0-9a-f]+ </ {
    flush_function(); name = ""
    engine = ""
    if ($0 ~ /6engine8portable/) engine = "portable"
    if ($0 ~ /6engine4avx2/) engine = "avx2"
    if ($0 ~ /6engine8avx512vl/) engine = "avx512vl"
    if ($0 ~ /6engine6avx512/) engine = "avx512"
    if (engine != "" && match($0, /pass|mixed|uniform|transpose/)) name = engine " " substr($0, RSTART, RLENGTH)
    total = ternary = logic = scalar = stack = 0
    next
}
name != "" && NF > 1 {
    total++
    if ($2 ~ /^vpternlog/) ternary++
    else if ($2 ~ /^v?p(and|andn|or|xor)[dq]?$/) logic++
    else if ($2 ~ /^(and|or|xor|not)[lq]?$/) scalar++
    if ($0 ~ /\(%rsp|\(%rbp/) stack++
}
END {
    flush_function()
    if (seen < 8) bad = bad "\nsome stages were not found"
    if (bad != "") { print "not as expected:" bad; exit 1 }
}' "$listing"
