//! The few regular expressions that the file of wire examples uses: characters, classes, `\d`, groups of
//! alternatives, and the repetitions `?`, `{n}` and `{n,m}`.

#[derive(Debug)]
enum Item {
    Class(Vec<(u8, u8)>),
    Group(Vec<Vec<Repeat>>),
}

#[derive(Debug)]
struct Repeat {
    item: Item,
    least: usize,
    most: usize,
}

/// A pattern.
#[derive(Debug)]
pub struct Pattern(Vec<Vec<Repeat>>);

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut rest = text.as_bytes();
        let alternatives = alternatives(&mut rest).ok_or(format!("pattern {text}"))?;
        if rest.is_empty() { Ok(Self(alternatives)) } else { Err(format!("pattern {text}")) }
    }

    /// Lengths of all beginnings of `input` that match, longest first.
    pub fn lengths(&self, input: &[u8]) -> Vec<usize> {
        let mut ends: Vec<usize> = any(&self.0, input, 0);
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.dedup();
        ends
    }

    /// True when all of `input` matches.
    pub fn is_whole(&self, input: &[u8]) -> bool {
        self.lengths(input).contains(&input.len())
    }
}

fn alternatives(rest: &mut &[u8]) -> Option<Vec<Vec<Repeat>>> {
    let mut all = vec![Vec::new()];
    while let Some((c, behind)) = rest.split_first() {
        match c {
            b')' => break,
            b'|' => {
                *rest = behind;
                all.push(Vec::new());
            }
            _ => {
                let item = item(rest)?;
                let (least, most) = repetition(rest)?;
                all.last_mut()?.push(Repeat { item, least, most });
            }
        }
    }
    Some(all)
}

fn item(rest: &mut &[u8]) -> Option<Item> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    match first {
        b'(' => {
            let group = alternatives(rest)?;
            *rest = rest.strip_prefix(b")")?;
            Some(Item::Group(group))
        }
        b'\\' => {
            *rest = rest.strip_prefix(b"d")?;
            Some(Item::Class(vec![(b'0', b'9')]))
        }
        b'[' => {
            let end = rest.iter().position(|c| *c == b']')?;
            let ranges = class(&rest[..end]);
            *rest = &rest[end + 1..];
            Some(Item::Class(ranges))
        }
        b'*' | b'+' | b'.' | b'^' | b'$' | b'?' | b'{' => None,
        c => Some(Item::Class(vec![(*c, *c)])),
    }
}

fn class(text: &[u8]) -> Vec<(u8, u8)> {
    match text {
        [low, b'-', high, rest @ ..] => [vec![(*low, *high)], class(rest)].concat(),
        [one, rest @ ..] => [vec![(*one, *one)], class(rest)].concat(),
        [] => Vec::new(),
    }
}

fn repetition(rest: &mut &[u8]) -> Option<(usize, usize)> {
    match rest.first() {
        Some(b'?') => {
            *rest = &rest[1..];
            Some((0, 1))
        }
        Some(b'{') => {
            let end = rest.iter().position(|c| *c == b'}')?;
            let text = std::str::from_utf8(&rest[1..end]).ok()?;
            *rest = &rest[end + 1..];
            let (least, most) = text.split_once(',').unwrap_or((text, text));
            Some((least.parse().ok()?, most.parse().ok()?))
        }
        _ => Some((1, 1)),
    }
}

fn any(all: &[Vec<Repeat>], input: &[u8], at: usize) -> Vec<usize> {
    all.iter().flat_map(|sequence| ends(sequence, input, at)).collect()
}

fn ends(sequence: &[Repeat], input: &[u8], at: usize) -> Vec<usize> {
    let Some((first, rest)) = sequence.split_first() else { return vec![at] };
    let (mut reached, mut out) = (vec![at], Vec::new());
    for count in 0..=first.most {
        if count >= first.least {
            out.extend(reached.iter().flat_map(|at| ends(rest, input, *at)));
        }
        reached = reached.iter().flat_map(|at| once(&first.item, input, *at)).collect();
        if reached.is_empty() {
            break;
        }
    }
    out
}

fn once(item: &Item, input: &[u8], at: usize) -> Vec<usize> {
    match item {
        Item::Class(ranges) => match input.get(at) {
            Some(c) if ranges.iter().any(|(low, high)| (low..=high).contains(&c)) => vec![at + 1],
            _ => Vec::new(),
        },
        Item::Group(all) => any(all, input, at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_file() {
        let pin = Pattern::new(r"(\d{5,13}|[0-9A-F]{5,16}|J[0-9A-F]{32})").unwrap();
        assert!(pin.is_whole(b"01234"));
        assert!(pin.is_whole(b"0123A"));
        assert!(!pin.is_whole(b"0123"));
        assert!(!pin.is_whole(b"0123g"));
        assert!(pin.is_whole(&[b"J".as_slice(), &[b'A'; 32]].concat()));
        assert_eq!(pin.lengths(b"0123456;"), [7, 6, 5]);
        let clear = Pattern::new("4436F?[0-9]{0,12}").unwrap();
        assert!(clear.is_whole(b"4436F") && clear.is_whole(b"4436") && !clear.is_whole(b"4437F"));
        let status = Pattern::new("[0-9][01][0-9]{2,3}[ -~]{9}[ -~]{5}").unwrap();
        assert!(status.is_whole(b"31640001-000100000"));
        assert!(Pattern::new("a*").is_err() && Pattern::new("(a").is_err() && Pattern::new("a)").is_err());
    }
}
