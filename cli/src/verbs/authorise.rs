//! `payhsm authorise`: the authorised state of a running server.

use crate::control::wire::{DataFolder, Reply, Request, Standing, call, one_consent, two_consents};
use crate::control::{ALL, SECONDS_MAX, activities};
use crate::exit::Exit;
use clap::ArgGroup;
use hostcmd::Activity;
use serde_json::{Value, json};

/// Authorises an activity of a running server for a limited time, by two officers; shows or ends what is
/// authorised.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true).args(["activity", "show", "revoke"])))]
pub struct Args {
    /// clear-pin, components, long-check-value, weak-export or all.
    #[arg(value_parser = activity)]
    activity: Option<String>,
    /// For how long: 90s, 10m, 2h; at most 12h.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = seconds)]
    seconds: u64,
    /// Shows what is authorised and for how long.
    #[arg(long)]
    show: bool,
    /// Ends an authorisation; one officer is enough.
    #[arg(long, value_name = "ACTIVITY", value_parser = activity)]
    revoke: Option<String>,
    #[command(flatten)]
    folder: DataFolder,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Exit {
    let folder = &args.folder.data;
    if let Some(activity) = args.revoke.clone() {
        call(folder, &Request::Revoke { activity: activity.clone(), officer: one_consent(folder)? })?;
        say(args.json, &json!({ "activity": activity, "authorised": false }), || {
            format!("{activity} is no longer authorised")
        });
    } else if let Some(activity) = args.activity.clone() {
        let (seconds, officers) = (args.seconds, two_consents(folder)?);
        call(folder, &Request::Authorise { activity: activity.clone(), seconds, officers })?;
        say(args.json, &json!({ "activity": activity, "authorised": true, "seconds": seconds }), || {
            format!("{activity} is authorised for {}", time(seconds))
        });
    } else if let Reply::Standing(rows) = call(folder, &Request::Show {})? {
        let object = |one: &Standing| json!({ "activity": one.activity, "seconds": one.seconds });
        say(args.json, &rows.iter().map(object).collect(), || match rows.as_slice() {
            [] => "nothing is authorised".to_owned(),
            rows => rows.iter().map(line).collect::<Vec<_>>().join("\n"),
        });
    }
    Ok(())
}

fn line(Standing { activity, seconds }: &Standing) -> String {
    format!("{activity:<17}  {}", seconds.map_or("until the server ends".to_owned(), time))
}

fn say(json: bool, value: &Value, text: impl FnOnce() -> String) {
    if json {
        println!("{value}");
    } else {
        println!("{}", text());
    }
}

fn activity(name: &str) -> Result<String, String> {
    let known = Activity::ALL.map(Activity::name).join(", ");
    activities(name).map(|_| name.to_owned()).ok_or_else(|| format!("one of {known}, {ALL}"))
}

fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let unit = [("s", 1), ("m", 60), ("h", 3600)].into_iter().find(|(name, _)| *name == unit);
    let seconds =
        unit.zip(number.parse::<u64>().ok()).and_then(|((_, unit), number)| number.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
        .ok_or_else(|| "a time like 90s, 10m or 2h, at most 12h".to_owned())
}

fn time(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "h"), (minutes, "m"), (rest, "s")];
    parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_limit() {
        assert_eq!([seconds("90s"), seconds("10m"), seconds("12h")], [Ok(90), Ok(600), Ok(43_200)]);
        for wrong in ["", "10", "m", "0s", "13h", "43201s", "1d", "-1s", "99999999999999999999h", "1µ"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!([time(3_601), time(600), time(90)], ["1h1s", "10m", "1m30s"]);
    }
}
