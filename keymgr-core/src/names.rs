//! Names that people give to nodes, zones, key sets and each other, and by which they tell them apart on a screen:
//! what a name may hold, so that it is shown as it is, and that it is never taken for an id.

use super::ids::{NodeId, PersonId};
use super::refusal::Refusal;
use std::collections::BTreeSet;

/// The rule in words.
pub const RULE: &str = "a name has 1 to 64 letters, digits, spaces, dots, dashes or underlines";

/// Whether a name holds nothing but what a screen shows as it is.
pub fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || " .-_".contains(c);
    (1..=64).contains(&name.chars().count()) && name.chars().all(fits) && name.trim() == name
}

/// Whether a text reads as an id: a hash in hexadecimal, or a UUID, in small or in capital letters.
pub fn is_id(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.parse::<NodeId>().is_ok() || text.parse::<PersonId>().is_ok()
}

/// A name for something new.
pub fn check(name: &str) -> Result<(), Refusal> {
    if !is_plain(name) {
        return Err(Refusal::Value(RULE));
    }
    if is_id(name) {
        return Err(Refusal::Value("a name that reads as an id"));
    }
    Ok(())
}

/// Longest text that a person gives, in characters.
pub const TEXT_MAX: usize = 256;

/// A text in a person's own words: a reason, a line of business. Shown as it is, too.
pub fn text(text: &str) -> Result<(), Refusal> {
    if text.chars().count() > TEXT_MAX || text.chars().any(hides) {
        return Err(Refusal::Value("a text has at most 256 characters, and none that is not shown"));
    }
    Ok(())
}

// Characters that move a cursor, or the direction of reading.
fn hides(c: char) -> bool {
    c.is_control()
        || ('\u{200b}'..='\u{200f}').contains(&c)
        || ('\u{2028}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// A name for one more beside those that are taken; it is taken then.
pub fn take<R>(taken: &mut BTreeSet<String>, name: &str) -> Result<(), Refusal> {
    check(name)?;
    if taken.insert(name.to_owned()) { Ok(()) } else { Err(Refusal::exists::<R>(&name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_it_is_and_is_no_id() {
        for good in ["n1", "Käthe-2", "east ZPK", "a.b_c", "a", &"x".repeat(64)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = "x".repeat(65);
        for bad in
            ["", " ", " n1", "n1 ", "n\n1", "n1\u{1b}[2K", "n1\u{202e}1n", "a/b", "a=b", "<b>", "n\t1", &long]
        {
            assert_eq!(check(bad), Err(Refusal::Value(RULE)), "{bad:?}");
        }
        let (hash, uuid) = (NodeId([0xAB; 32]).to_string(), PersonId::new(1, [1; 10]).to_string());
        for id in [hash.clone(), hash.to_ascii_uppercase(), uuid.clone(), uuid.to_ascii_uppercase()] {
            assert!(is_id(&id) && check(&id).is_err(), "{id}");
        }
        assert!(!is_id("abcdef") && !is_id(&hash[1..]));
    }

    #[test]
    fn a_text_is_short_and_shown_as_it_is() {
        let ends = "ä".repeat(TEXT_MAX);
        for good in ["", "seen in a log; see file #7 (Käthe)", &ends] {
            assert_eq!(text(good), Ok(()), "{good}");
        }
        for bad in [&format!("{ends}x"), "a\nb", "\u{1b}[2K", "a\u{202e}b", "\u{200b}"] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut taken = BTreeSet::new();
        assert_eq!(take::<super::super::node::Node>(&mut taken, "n1"), Ok(()));
        let twice = take::<super::super::node::Node>(&mut taken, "n1").expect_err("taken");
        assert_eq!(twice.code(), "exists");
    }
}
