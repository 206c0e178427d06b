//! `payhsm policy list|show|set`: what holds for the keys of a kind. A change is a new version that officers approve.

use super::place::{Place, block_on, confirmed, named, show, table};
use super::{root, span, span_ms, when};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use keylink::message::Shape;
use keymgr::core::action::Act;
use keymgr::core::approval::Quorum;
use keymgr::core::policy::{ChangeWindow, Freeze, Policy as Record};
use serde_json::json;

/// Policies.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Lists policies.
    List(Place),
    /// Shows one policy.
    Show(One),
    /// Asks for a new version of a policy: what changes is shown first.
    Set(Box<Set>),
}

/// One policy.
#[derive(Debug, Args)]
pub struct One {
    /// Name or id.
    policy: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `policy set`.
#[derive(Debug, Args)]
pub struct Set {
    /// Name or id.
    policy: String,
    /// Another name.
    #[arg(long)]
    name: Option<String>,
    /// Algorithms and lengths it allows, all of them.
    #[arg(long, value_delimiter = ',', value_parser = super::zone::shape)]
    shapes: Vec<Shape>,
    /// How long a generation protects.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    period: Option<u64>,
    /// How long it may process after that.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    extra: Option<u64>,
    /// How long the old generation is processed after a switch.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    overlap: Option<u64>,
    /// Nodes stop by themselves at the end of the period.
    #[arg(long)]
    hard_stop: Option<bool>,
    /// Protect operations after which a change is due; 0 for no limit.
    #[arg(long)]
    operations: Option<u64>,
    /// Approving persons besides the requester for a planned rotation.
    #[arg(long, value_parser = root::quorum)]
    quorum: Option<Quorum>,
    /// Time between the order to protect and the moment of it.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    lead: Option<u64>,
    /// Time a planned campaign may take before it alarms.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    deadline: Option<u64>,
    /// Length of a destroy hold.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    hold: Option<u64>,
    /// Planned switches fall into one of these only, repeatable, UTC: `mon 02:00-04:00`. All of them; `any` for none.
    #[arg(long, value_parser = window, value_name = "WINDOW")]
    window: Vec<Window>,
    /// Planned switches never fall into one of these, repeatable: two times as RFC 3339 with a slash between. All of
    /// them; `none` for none.
    #[arg(long, value_parser = freeze, value_name = "FROM/UNTIL")]
    freeze: Vec<Span>,
    /// Shows what would change and asks for nothing.
    #[arg(long)]
    dry_run: bool,
    /// Asks without a question.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

// Clap takes no list of nothing: a word stands for it.
type Window = Option<ChangeWindow>;
type Span = Option<Freeze>;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn window(text: &str) -> Result<Window, String> {
    if text == "any" {
        return Ok(None);
    }
    let minute = |text: &str| -> Option<u16> {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour <= 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let read = || {
        let (day, span) = text.split_once(' ')?;
        let (from, until) = span.split_once('-')?;
        let weekday = DAYS.iter().position(|own| day.eq_ignore_ascii_case(own))?;
        let weekday = u8::try_from(weekday).ok()?;
        Some(ChangeWindow { weekday, from_minute: minute(from)?, until_minute: minute(until)? })
    };
    read().map(Some).ok_or_else(|| "a window is a day and a span, `mon 02:00-04:00`, or `any`".to_owned())
}

fn freeze(text: &str) -> Result<Span, String> {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    if text == "none" {
        return Ok(None);
    }
    let moment = |text: &str| -> Option<u64> {
        let seconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp();
        u64::try_from(seconds).ok()?.checked_mul(1000)
    };
    let read = || {
        let (from, until) = text.split_once('/')?;
        Some(Freeze { from_utc_ms: moment(from)?, until_utc_ms: moment(until)? })
    };
    read()
        .map(Some)
        .ok_or_else(|| "a freeze is 2026-12-20T00:00:00Z/2027-01-04T00:00:00Z, or `none`".to_owned())
}

/// Runs the verb.
pub fn run(verb: Policy) -> Exit {
    match verb {
        Policy::List(place) => list(&place),
        Policy::Show(args) => {
            let policy = find(&args.place.client()?, &args.policy)?;
            show(args.place.json, &policy, |policy| table(&["policy", ""], &rows(policy)))
        }
        Policy::Set(args) => set(&args),
    }
}

/// A policy by name or id.
pub fn find(client: &keymgr::client::Client, name: &str) -> Result<Record, Failure> {
    let all: Vec<Record> = block_on(client.all("/policies"))?;
    named(all, "policy", name, |policy| (&policy.name, policy.id.to_string()))
}

fn list(place: &Place) -> Exit {
    let policies: Vec<Record> = block_on(place.client()?.all("/policies"))?;
    show(place.json, &policies, |policies| {
        let row = |p: &Record| {
            vec![
                p.name.clone(),
                p.version.to_string(),
                p.kind.name().to_owned(),
                span(p.originator_period_ms),
                span(p.overlap_ms),
                p.quorum.persons().to_string(),
                p.id.to_string(),
            ]
        };
        let head = ["policy", "version", "kind", "period", "overlap", "approvals", "id"];
        table(&head, &policies.iter().map(row).collect::<Vec<_>>())
    })
}

fn rows(policy: &Record) -> Vec<Vec<String>> {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let window = |w: &ChangeWindow| {
        let day = DAYS.get(usize::from(w.weekday)).copied().unwrap_or("?");
        format!("{day} {}-{}", clock(w.from_minute), clock(w.until_minute))
    };
    let freeze = |f: &Freeze| format!("{}/{}", when(f.from_utc_ms), when(f.until_utc_ms));
    let list = |texts: Vec<String>, none: &str| {
        if texts.is_empty() { none.to_owned() } else { texts.join(", ") }
    };
    let shapes = policy.shapes.iter().map(|shape| format!("{shape:?}")).collect();
    [
        ("name", policy.name.clone()),
        ("id", policy.id.to_string()),
        ("version", policy.version.to_string()),
        ("kind", policy.kind.name().to_owned()),
        ("shapes", list(shapes, "none")),
        ("period", span(policy.originator_period_ms)),
        ("extra", span(policy.recipient_extra_ms)),
        ("overlap", span(policy.overlap_ms)),
        ("hard stop", policy.hard_stop.to_string()),
        ("operations", policy.operations_max.map_or_else(|| "no limit".to_owned(), |max| max.to_string())),
        ("quorum", policy.quorum.persons().to_string()),
        ("lead", span(policy.protect_lead_ms)),
        ("deadline", span(policy.campaign_deadline_ms)),
        ("hold", span(policy.destroy_hold_ms)),
        ("windows", list(policy.change_windows.iter().map(window).collect(), "any time")),
        ("freezes", list(policy.freezes.iter().map(freeze).collect(), "none")),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), value])
    .collect()
}

fn set(args: &Set) -> Exit {
    let client = args.place.client()?;
    let before = find(&client, &args.policy)?;
    let after = changed(&before, args);
    if (Record { version: before.version, ..after.clone() }) == before {
        return Err(Failure::usage("nothing would change: say what is to be another way, see --help"));
    }
    after.check().map_err(Failure::usage)?;
    let pairs = rows(&before).into_iter().zip(rows(&after)).filter(|(old, new)| old != new);
    let pairs: Vec<_> = pairs
        .map(|(mut old, new)| {
            old.extend(new.into_iter().skip(1));
            old
        })
        .collect();
    let changes = format!("policy {}\n{}", before.name, table(&["", "now", "then"], &pairs));
    if args.dry_run {
        return show(args.place.json, &json!({ "before": before, "after": after }), |_| changes);
    }
    eprintln!("{changes}");
    confirmed(args.yes, "Ask for this?")?;
    super::ask(&args.place, &client, &[Act::DefinePolicy(after)])
}

fn changed(before: &Record, args: &Set) -> Record {
    let mut policy = Record { version: before.version.saturating_add(1), ..before.clone() };
    let spans = [
        (&mut policy.originator_period_ms, args.period),
        (&mut policy.recipient_extra_ms, args.extra),
        (&mut policy.overlap_ms, args.overlap),
        (&mut policy.protect_lead_ms, args.lead),
        (&mut policy.campaign_deadline_ms, args.deadline),
        (&mut policy.destroy_hold_ms, args.hold),
    ];
    for (own, wanted) in spans {
        *own = wanted.unwrap_or(*own);
    }
    policy.name = args.name.clone().unwrap_or(policy.name);
    policy.hard_stop = args.hard_stop.unwrap_or(policy.hard_stop);
    policy.quorum = args.quorum.unwrap_or(policy.quorum);
    if !args.shapes.is_empty() {
        policy.shapes = args.shapes.iter().copied().collect();
    }
    if let Some(max) = args.operations {
        policy.operations_max = (max > 0).then_some(max);
    }
    if !args.window.is_empty() {
        policy.change_windows = args.window.iter().copied().flatten().collect();
    }
    if !args.freeze.is_empty() {
        policy.freezes = args.freeze.iter().copied().flatten().collect();
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_freezes_are_read_as_they_are_shown() {
        let monday = ChangeWindow { weekday: 0, from_minute: 120, until_minute: 240 };
        assert_eq!(window("mon 02:00-04:00"), Ok(Some(monday)));
        assert_eq!(
            window("Sun 00:00-24:00").ok().flatten().map(|w| (w.weekday, w.until_minute)),
            Some((6, 1440))
        );
        assert_eq!((window("any"), freeze("none")), (Ok(None), Ok(None)));
        for text in
            ["", "mon", "mon 2-4", "mon 02:00", "xyz 02:00-04:00", "mon 02:60-03:00", "mon 25:00-26:00"]
        {
            assert!(window(text).is_err(), "{text}");
        }
        let span = Freeze { from_utc_ms: 1_000, until_utc_ms: 2_000 };
        assert_eq!(freeze("1970-01-01T00:00:01Z/1970-01-01T00:00:02Z"), Ok(Some(span)));
        for text in ["", "1970-01-01T00:00:01Z", "a/b", "1969-01-01T00:00:01Z/1970-01-01T00:00:02Z"] {
            assert!(freeze(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_is_shown_as_it_is_typed() {
        for text in ["3d", "36h", "90m", "10s", "1500ms"] {
            assert_eq!(span(span_ms(text).unwrap()), text);
        }
    }
}
