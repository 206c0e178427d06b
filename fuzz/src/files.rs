//! The configuration file.

use gateway_config::File;
use hostcmd::command::Authorised;

/// Text as a configuration file: refused with words, or a configuration that keeps to its rules.
pub fn config(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let file = match File::parse("payhsm.toml", text) {
        Ok(file) => file,
        Err(problem) => return assert!(!problem.message().is_empty(), "a refusal without words"),
    };
    match file.resolve() {
        Ok(resolved) => {
            let config = resolved.gateway;
            assert!(config.header_length <= 255, "header length");
            assert!(
                resolved.insecure_test_lmk || config.authorised == Authorised::NONE,
                "authorised from the start without a test LMK"
            );
        }
        Err(problem) => assert!(!problem.message().is_empty(), "a refusal without words"),
    }
}
