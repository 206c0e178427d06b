//! What a proof has found, for people. The output of a test that passes is not shown by `cargo test`: where
//! `PAYHSM_PROOFS` names a folder, as `.ci/run` does, it is kept there as well.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Prints a text, and adds it to the file of this name.
#[allow(clippy::print_stdout)]
pub fn show(name: &str, text: &str) {
    println!("{text}");
    let Some(folder) = std::env::var_os("PAYHSM_PROOFS") else { return };
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let file = Path::new(&folder).join(format!("{name}.txt"));
    let mut file = OpenOptions::new().create(true).append(true).open(file).expect("the file opens");
    // One write: tests of one program run beside each other.
    file.write_all(format!("{text}\n").as_bytes()).expect("the file is written");
}
