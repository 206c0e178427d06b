//! The exported log is the same from both databases, and each line of it counts.

use crate::common::{BEGIN_MS, Place};
use crate::{fill, make};
use keymgr::audit::{Head, Options, Report, export, verify_export};

fn exported(place: &Place) -> String {
    let mut out = Vec::new();
    export(&mut place.read(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn verified(export: &str) -> Report {
    verify_export(&mut export.as_bytes(), Options::default()).unwrap()
}

#[test]
fn an_export_is_the_same_from_both_databases_and_holds() {
    let mut texts = Vec::new();
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 1100);
        let text = exported(&place);
        let report = verified(&text);
        assert!(report.holds, "{:?}", report.findings);
        assert_eq!(report, place.verify());
        let head = Head::parse("export", text.as_bytes()).unwrap();
        let anchored = Options { heads: vec![head], ..Options::default() };
        assert!(verify_export(&mut text.as_bytes(), anchored).unwrap().anchored);
        texts.push(text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

#[test]
fn no_line_of_an_export_can_be_changed_doubled_moved_or_left_out() {
    let place = Place::sqlite();
    let mut ledger = place.lead().unwrap();
    ledger.commit((1..5).map(make).collect(), BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    let text = exported(&place);
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert!(!verified(&join(&without)).holds, "without {}", lines[at]);
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        assert!(!verified(&join(&twice)).holds, "twice {}", lines[at]);
        let mut edited = lines.clone();
        let middle = lines[at].len() / 2;
        let other = if lines[at].as_bytes()[middle] == b'0' { "1" } else { "0" };
        let changed = format!("{}{other}{}", &lines[at][..middle], &lines[at][middle + 1..]);
        edited[at] = &changed;
        assert!(!verified(&join(&edited)).holds, "edited {}", lines[at]);
        // Rows of state have no order among themselves: the log has.
        if at > 0 && !(lines[at].starts_with("row ") && lines[at - 1].starts_with("row ")) {
            let mut moved = lines.clone();
            moved.swap(at - 1, at);
            assert!(!verified(&join(&moved)).holds, "moved {}", lines[at]);
        }
        assert!(!verified(&join(&lines[..at])).holds, "cut before {}", lines[at]);
    }
    assert!(verified(&text).holds);
    assert!(!verified("").holds && !verified("x\n").holds);
}
