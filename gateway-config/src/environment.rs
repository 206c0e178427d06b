//! `PAYHSM_LIMITS_*`: limits from the environment. The other variables are options of the command line,
//! which reads them itself.

use super::diagnostic::{Problem, Source, nearest};
use super::file::{File, LimitsTable};
use super::size::cache_bytes;
use toml::Spanned;

const PREFIX: &str = "PAYHSM_LIMITS_";
const NAMES: [&str; 10] = [
    "connections",
    "per_address",
    "frame_bytes",
    "depth",
    "first_byte_s",
    "whole_frame_s",
    "idle_s",
    "write_stall_s",
    "drain_s",
    "key_cache",
];

impl File {
    /// Takes limits from variables of the environment.
    pub fn overlay(&mut self, variables: impl Iterator<Item = (String, String)>) -> Result<(), Problem> {
        for (variable, value) in variables {
            if let Some(name) = variable.strip_prefix(PREFIX) {
                set(&mut self.limits, &variable, &name.to_lowercase(), &value)?;
            }
        }
        Ok(())
    }
}

fn set(limits: &mut LimitsTable, variable: &str, name: &str, value: &str) -> Result<(), Problem> {
    let refuse = |what: &str| Source::default().problem(format!("{variable}: {what}"), None);
    let count = || value.parse().map(|n| Some(Spanned::new(0..0, n))).map_err(|_| refuse("not a number"));
    let seconds = || value.parse().map(|s| Some(Spanned::new(0..0, s))).map_err(|_| refuse("not seconds"));
    match name {
        "connections" => limits.connections = count()?,
        "per_address" => limits.per_address = count()?,
        "frame_bytes" => limits.frame_bytes = count()?,
        "depth" => limits.depth = count()?,
        "first_byte_s" => limits.first_byte_s = seconds()?,
        "whole_frame_s" => limits.whole_frame_s = seconds()?,
        "idle_s" => limits.idle_s = seconds()?,
        "write_stall_s" => limits.write_stall_s = seconds()?,
        "drain_s" => limits.drain_s = seconds()?,
        "key_cache" => {
            cache_bytes(value).ok_or_else(|| refuse("neither a size, such as 16MiB, nor off"))?;
            limits.key_cache = Some(Spanned::new(0..0, value.to_owned()));
        }
        _ => {
            let problem = refuse("no such limit");
            return Err(match nearest(name, NAMES.into_iter()) {
                Some(near) => problem.with_help(format!("did you mean {PREFIX}{}?", near.to_uppercase())),
                None => problem,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(name: &str, value: &str) -> Result<File, Problem> {
        let mut file = File::default();
        file.overlay([(name.to_owned(), value.to_owned())].into_iter()).map(|()| file)
    }

    #[test]
    fn every_limit_has_a_variable() {
        for name in NAMES {
            let variable = format!("{PREFIX}{}", name.to_uppercase());
            let file = overlay(&variable, "7").unwrap();
            assert_eq!(format!("{:?}", file.limits).matches("Some").count(), 1, "{name}");
            let problem = overlay(&variable, "many").unwrap_err();
            assert!(problem.message().starts_with(&variable), "{problem}");
        }
        assert!(overlay("PATH", "x").is_ok());
    }

    #[test]
    fn a_misspelt_variable_is_refused() {
        let problem = overlay("PAYHSM_LIMITS_IDLE", "7").unwrap_err();
        assert_eq!(problem.advice(), Some("did you mean PAYHSM_LIMITS_IDLE_S?"));
    }
}
