//! Where a verification reads from: an export, or a store.

use super::export::FIRST_LINE;
use super::finding::Report;
use super::rows;
use super::verify::{Options, Verifier};
use crate::store::{Error, Store, Table, key_text};
use crate::with_causes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr;
use std::io::{self, BufRead};
use std::time::{Duration, Instant};

/// Bytes of an export that are best read at a time: they stay in the cache nearest to a core that is large enough.
pub const READ_AT_ONCE: usize = 1 << 17;

/// Verifies an export.
pub fn verify_export(file: &mut dyn BufRead, options: Options) -> io::Result<Report> {
    let mut reader = Reader { file, line: Vec::new(), number: 0 };
    let mut head = Vec::new();
    while head.len() < 3 || head.last().is_some_and(|line: &String| line.starts_with("key ")) {
        match reader.next()? {
            Some(line) => head.push(line.to_owned()),
            None => break,
        }
    }
    let after = head.pop();
    let mut lines = head.iter();
    let named = lines.next().map(String::as_str) == Some(FIRST_LINE);
    let origin = lines.next().and_then(|line| rows::unescape(line.strip_prefix("origin ")?));
    let keys: Option<Vec<_>> = lines.map(|line| key(line)).collect();
    let (Some(origin), Some(keys), true) = (origin, keys, named) else {
        return Ok(not_an_export(reader.number));
    };
    let keys = keys.iter().map(|(text, size, note)| (text.as_str(), *size, note.as_slice()));
    let mut verifier = Verifier::new(options, &origin, keys);
    let complete = body(&mut reader, after, &mut verifier)?;
    Ok(verifier.finish(complete))
}

fn not_an_export(line: u64) -> Report {
    let mut report = Report::default();
    report.find("unreadable", "export", line.to_string(), "the file does not begin as an export does");
    report
}

fn key(line: &str) -> Option<(String, u64, Vec<u8>)> {
    let mut words = line.strip_prefix("key ")?.split(' ');
    let (size, text, note) = (words.next()?, words.next()?, words.next()?);
    let note = if note == "-" { Vec::new() } else { STANDARD.decode(note).ok()? };
    Some((text.to_owned(), size.parse().ok()?, note))
}

struct Reader<'a> {
    file: &'a mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
}

impl Reader<'_> {
    // The next line; text that is not UTF-8 reads as a line that is none.
    fn next(&mut self) -> io::Result<Option<&str>> {
        self.line.clear();
        if !self.fill()? {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(std::str::from_utf8(&self.line).unwrap_or("\u{fffd}")))
    }

    // A line without its line feed; false at the end. As `read_until`, which looks at fewer bytes at a time.
    fn fill(&mut self) -> io::Result<bool> {
        let mut some = false;
        loop {
            let there = match self.file.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                there => there?,
            };
            let end = memchr(b'\n', there);
            let line = &there[..end.unwrap_or(there.len())];
            self.line.extend_from_slice(line);
            let (read, over) = (line.len() + usize::from(end.is_some()), end.is_some() || there.is_empty());
            some |= read > 0;
            self.file.consume(read);
            if over {
                return Ok(some);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Checkpoints,
    Log,
    Rows,
    End,
}

fn body(reader: &mut Reader<'_>, first: Option<String>, verifier: &mut Verifier) -> io::Result<bool> {
    let mut part = Part::Checkpoints;
    let mut counts = [0u64; 3];
    let mut complete = true;
    let mut take = |line: &str, number: u64| {
        let is_entry = line.starts_with("v1 ");
        let (kind, now) = match (!is_entry).then(|| line.split_once(' ')).flatten() {
            Some(("checkpoint", rest)) => (Part::Checkpoints, checkpoint(rest, verifier)),
            Some(("row", rest)) => {
                if part < Part::Rows {
                    verifier.end_of_log();
                }
                let row = rows::parse(rest);
                row.iter().for_each(|row| verifier.row(row));
                (Part::Rows, row.is_some())
            }
            Some(("end", rest)) => {
                if part < Part::Rows {
                    verifier.end_of_log();
                }
                (Part::End, rest == format!("{} {} {}", counts[0], counts[1], counts[2]))
            }
            // A log line whose first word was edited is still one.
            _ if is_entry || (part <= Part::Log && !line.starts_with("end")) => {
                verifier.line(None, line);
                (Part::Log, true)
            }
            _ => (part, false),
        };
        if !now || kind < part || part == Part::End {
            complete = complete && now;
            let what = if kind == Part::End {
                "the counts at the end do not agree"
            } else {
                "not a line that belongs here"
            };
            verifier.unreadable("export", &format!("line {number}"), what);
        }
        match kind {
            Part::Log => counts[0] += 1,
            Part::Checkpoints => counts[1] += 1,
            Part::Rows => counts[2] += 1,
            Part::End => {}
        }
        part = part.max(kind);
    };
    if let Some(line) = first {
        take(&line, reader.number);
    }
    loop {
        let number = reader.number + 1;
        let Some(line) = reader.next()? else { break };
        take(line, number);
    }
    if part != Part::End {
        if part < Part::Rows {
            verifier.end_of_log();
        }
        verifier.unreadable("export", "end", "the export is cut: its last line is missing");
        complete = false;
    }
    Ok(complete || part == Part::End)
}

fn checkpoint(rest: &str, verifier: &mut Verifier) -> bool {
    let Some((size, note)) = rest.split_once(' ') else { return false };
    let note = STANDARD.decode(note).ok().and_then(|note| String::from_utf8(note).ok());
    match (size.parse(), note) {
        (Ok(size), Some(note)) => {
            verifier.checkpoint(size, &note);
            true
        }
        _ => false,
    }
}

/// Verifies a store, in one state of it, as it is. What cannot be read is a finding too.
pub fn verify_store(store: &mut Store, options: Options) -> Result<Report, Error> {
    let (complaints, mut report) = (complaints(store), None);
    let read = judge(store, &options, &complaints, &mut report, |_| true);
    made(report, read, options)
}

/// Verifies a store beside which a manager may be writing: in a state whose log a checkpoint covers to its end, when
/// there is one before the log has stood still for a while; else as it is.
pub fn verify_store_in_use(store: &mut Store, options: Options) -> Result<Report, Error> {
    let (complaints, began) = (complaints(store), Instant::now());
    let (mut seen, mut since) = (None, began);
    loop {
        let mut report = None;
        let read = judge(store, &options, &complaints, &mut report, |store| {
            // What cannot be read is found by whoever verifies.
            let standing = Standing::of(store).ok().filter(|now| now.covered < now.size);
            if standing != seen {
                (seen, since) = (standing, Instant::now());
            }
            standing.is_none() || since.elapsed() > STANDS_STILL || began.elapsed() > COVERED
        });
        match (&report, &read) {
            (None, Ok(())) => std::thread::sleep(BETWEEN),
            _ => return made(report, read, options),
        }
    }
}

/// Longest wait for a moment at which the newest checkpoint covers the whole log.
const COVERED: Duration = Duration::from_secs(20);
/// A log that is not covered and has not grown for so long has no manager that is at work.
const STANDS_STILL: Duration = Duration::from_secs(3);
/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(5);

// How long the log is, and how much of it is covered.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Standing {
    covered: u64,
    size: u64,
}

impl Standing {
    fn of(store: &mut Store) -> Result<Self, Error> {
        let covered = store.last_checkpoint()?.map_or(0, |(size, _)| size);
        Ok(Self { covered, size: store.log_size()? })
    }
}

fn complaints(store: &mut Store) -> Vec<String> {
    store.self_check().unwrap_or_else(|error| vec![with_causes(&error)])
}

type Read = Result<(), Error>;

// Judges one state of the store when it is `ready`; without a report it was not.
fn judge(
    store: &mut Store,
    options: &Options,
    complaints: &[String],
    report: &mut Option<Report>,
    mut ready: impl FnMut(&mut Store) -> bool,
) -> Read {
    store.snapshot(|store| {
        if !ready(store) {
            return Ok(());
        }
        let mut verifier = begin(store, options.clone())?;
        for complaint in complaints {
            verifier.unreadable("database", "file", complaint);
        }
        let done = walk(store, &mut verifier);
        if let Err(error) = &done {
            unreadable(&mut verifier, error);
        }
        *report = Some(verifier.finish(done.is_ok()));
        Ok(())
    })
}

fn made(report: Option<Report>, read: Read, options: Options) -> Result<Report, Error> {
    match (report, read) {
        (Some(report), _) => Ok(report),
        (None, Err(error @ (Error::Absent(_) | Error::Io(_) | Error::Location(_)))) => Err(error),
        (None, read) => {
            let mut verifier = Verifier::new(options, "", std::iter::empty());
            if let Err(error) = read {
                unreadable(&mut verifier, &error);
            }
            Ok(verifier.finish(false))
        }
    }
}

fn begin(store: &mut Store, options: Options) -> Result<Verifier, Error> {
    if store.version()? == 0 {
        return Err(Error::Absent("there is no such store"));
    }
    let origin = store.get(Table::Meta, b"origin")?.map(|row| row.body).unwrap_or_default();
    let mut keys = Vec::new();
    store.each_row(Table::CheckpointKeys, &mut |row| {
        keys.push(row);
        Ok(())
    })?;
    let keys = keys.iter().map(|row| {
        let size = row.column("from_size").int().unwrap_or_default();
        (row.column("vkey").text().unwrap_or_default(), size.cast_unsigned(), row.body.as_slice())
    });
    Ok(Verifier::new(options, &String::from_utf8_lossy(&origin), keys))
}

fn walk(store: &mut Store, verifier: &mut Verifier) -> Result<(), Error> {
    verifier.with_tiles();
    store.each_checkpoint(&mut |size, note| {
        verifier.checkpoint(size, &note);
        Ok(())
    })?;
    store.each_line(0, &mut |seq, line| {
        verifier.line(Some(seq), &line);
        Ok(())
    })?;
    verifier.end_of_log();
    for &table in Table::ALL {
        store.each_row(table, &mut |row| {
            verifier.row(&row);
            Ok(())
        })?;
    }
    store.each_tile(&mut |tile| {
        verifier.tile(&tile);
        Ok(())
    })
}

fn unreadable(verifier: &mut Verifier, error: &Error) {
    match error {
        Error::Unreadable { table, key, what } => verifier.unreadable(table, &key_text(key), what),
        other => verifier.unreadable("database", "file", &with_causes(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_are_what_the_standard_library_reads(
            bytes in prop::collection::vec(prop::sample::select(b"a\n\xff\r".to_vec()), 0..60), at_once in 1usize..9,
        ) {
            let mut file = io::BufReader::with_capacity(at_once, bytes.as_slice());
            let mut reader = Reader { file: &mut file, line: Vec::new(), number: 0 };
            let mut lines = Vec::new();
            while let Some(line) = reader.next().unwrap() {
                lines.push(line.to_owned());
            }
            let text = |line: io::Result<Vec<u8>>| String::from_utf8(line.unwrap()).unwrap_or("\u{fffd}".to_owned());
            prop_assert_eq!(reader.number, lines.len() as u64);
            prop_assert_eq!(lines, io::Cursor::new(&bytes).split(b'\n').map(text).collect::<Vec<_>>());
        }
    }
}
