//! Writes the seeds to `corpus/<target>/`, where cargo-fuzz looks for them.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for (target, _) in payhsm_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        let seeds = payhsm_fuzz::seeds::of(target);
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:04}")), seed)?;
        }
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}
