# The one door: `just check` is what CI runs. Needs only Rust and a C compiler; `just` itself is optional,
# every recipe is a plain command.

default: check

# Format, lints, tests, docs, dependencies, demo.
check:
    bash .ci/run

# Formats all code, the files behind the command table too.
fmt:
    cargo fmt --all
    rustfmt --edition 2024 hostcmd/src/commands/*.rs

# What is proved at length: simulated centres, kills of manager and node, power loss, flipped bytes. An hour and
# more on a busy machine.
proof:
    PAYHSM_SEEDS=10000 cargo test -p keymgr --lib simulation -- --nocapture
    PAYHSM_KILL_ROUNDS=1000 cargo test -p tests --test manager_kills -- --nocapture
    PAYHSM_NODE_KILLS=200 cargo test -p tests --test node_kills -- --nocapture
    PAYHSM_KILL_ROUNDS=1000 cargo test -p keymgr --test kill -- --nocapture
    PAYHSM_POWER_IMAGES=10000 cargo test -p keymgr --test power -- --nocapture
    PAYHSM_POWER_IMAGES=10000 cargo test -p tests --test node_power -- --nocapture
    PAYHSM_FLIPS=1000 cargo test -p keymgr --test tampering -- --nocapture

# Unit, vector, property and end-to-end tests.
test:
    cargo test --workspace

# Lints with warnings denied.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# The main job on embedded defaults.
demo:
    cargo run --release -- demo

# Side-by-side ratios: echo, gateway, OpenSSL, `des` crate; every row with its goals.
ratios *words:
    cargo run --release -p benches -- ratios {{words}}

# Measures everything again, or parts by name: benches/record, docs/plots, tables of docs/performance.md and README.md.
record *words:
    cargo build --release -p benches
    target/release/benches record {{words}}

# Speed gates that noise cannot break; `just gate --record` records instructions anew.
gate *words:
    cargo run --release -p benches -- gate {{words}}

# Whether a pass of the lanes takes as long for any keys and blocks: statistics, for a quiet machine.
steady:
    cargo run --release -p tdes-lanes --example steady

# Writes docs/commands.md from the command table.
docs:
    cargo run -q -- explain --commands-page > docs/commands.md
