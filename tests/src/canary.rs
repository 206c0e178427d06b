//! Secrets that a test knows, in every form in which they could lie about, and the search for them in the memory of
//! a process and in text.

use crate::hex;
use memchr::memmem::Finder;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// A form of a secret: what it is, and its bytes.
pub struct Canary {
    name: String,
    finder: Finder<'static>,
}

/// What to search for.
#[derive(Default)]
pub struct Canaries(Vec<Canary>);

impl Canaries {
    fn add(&mut self, name: String, bytes: &[u8]) {
        self.0.push(Canary { name, finder: Finder::new(bytes).into_owned() });
    }

    /// Bytes as they stand.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.add(name.to_owned(), bytes);
    }

    /// A clear key: raw, reversed, and as text. Each half of a key that has 16 bytes or more counts.
    pub fn key(&mut self, name: &str, key: &[u8]) {
        let upper = hex::encode(key);
        let reversed: Vec<u8> = key.iter().rev().copied().collect();
        self.add(format!("{name}, reversed"), &reversed);
        self.add(format!("{name}, text"), upper.as_bytes());
        self.add(format!("{name}, small text"), upper.to_lowercase().as_bytes());
        for (number, half) in key.chunks(8).enumerate() {
            self.add(format!("{name}, part {number}"), half);
        }
    }

    /// A PIN of 12 digits: as text, packed, and in clear PIN blocks of format 0 for an account field.
    pub fn pin(&mut self, pin: &str, account: &str) {
        assert_eq!(pin.len(), 12, "shorter ones occur by chance");
        self.add("PIN, text".to_owned(), pin.as_bytes());
        self.add("PIN, packed".to_owned(), &hex::decode(pin).expect("digits"));
        self.add("PIN block".to_owned(), &clear_block(pin, account));
        let field = hex::decode(&format!("0C{pin}FF")).expect("digits");
        self.add("PIN field".to_owned(), &field);
    }

    /// Names of those that are in a piece of memory or text.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let hits = self.0.iter().filter(|canary| canary.finder.find(bytes).is_some());
        hits.map(|canary| canary.name.as_str()).collect()
    }

    /// Names of those that are in the memory of a process, each with where; `None` when it may not be read.
    pub fn found_in_process(&self, pid: u32) -> Option<Vec<String>> {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
        let mut pages = File::open(format!("/proc/{pid}/pagemap")).ok()?;
        let (mut found, mut read, mut buffer) = (Vec::new(), 0_usize, Vec::new());
        for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|m| m.starts_with('r'))) {
            let Some((from, to)) = line.split(' ').next().and_then(|range| range.split_once('-')) else {
                continue;
            };
            let bounds = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16));
            let (Ok(from), Ok(to)) = bounds else { continue };
            for (from, to) in touched(&mut pages, from, to).unwrap_or_default() {
                buffer.clear();
                // What cannot be read is the kernel's own.
                if memory.seek(SeekFrom::Start(from)).is_err()
                    || (&mut memory).take(to - from).read_to_end(&mut buffer).is_err()
                {
                    continue;
                }
                read += buffer.len();
                found.extend(self.found_in(&buffer).iter().map(|name| format!("{name} in {line}")));
            }
        }
        assert!(read > 1 << 20, "hardly anything of process {pid} was read");
        Some(found)
    }
}

const PAGE: u64 = 4096;

// Runs of pages that are in memory or were swapped out. An allocator maps far more than it has written to.
fn touched(pages: &mut File, from: u64, to: u64) -> io::Result<Vec<(u64, u64)>> {
    const THERE: u64 = 0b11 << 62;
    let mut entries = vec![0; usize::try_from((to - from) / PAGE * 8).map_err(io::Error::other)?];
    pages.seek(SeekFrom::Start(from / PAGE * 8))?;
    pages.read_exact(&mut entries)?;
    let there = entries.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry) & THERE != 0);
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (at, _) in (from..to).step_by(PAGE as usize).zip(there).filter(|(_, there)| *there) {
        match runs.last_mut() {
            Some((_, end)) if *end == at => *end += PAGE,
            _ => runs.push((at, at + PAGE)),
        }
    }
    Ok(runs)
}

/// The clear PIN block of ISO format 0 for an account field of 12 digits.
pub fn clear_block(pin: &str, account: &str) -> Vec<u8> {
    let field = hex::decode(&format!("0{:X}{pin:F<14}", pin.len())).expect("digits");
    let account = hex::decode(&format!("0000{account}")).expect("digits");
    field.iter().zip(&account).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_and_nothing_else() {
        let mut canaries = Canaries::default();
        canaries.key("k", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        canaries.pin("314159265358", "400000123456");
        let found = |bytes: &[u8]| canaries.found_in(bytes).join(";");
        assert_eq!(found(b"..0102030405060708090A0B0C0D0E0F10.."), "k, text");
        assert_eq!(found(&[0, 9, 10, 11, 12, 13, 14, 15, 16, 0]), "k, part 1");
        assert_eq!(found(b"pin=314159265358"), "PIN, text");
        assert_eq!(found(&clear_block("314159265358", "400000123456")), "PIN block");
        assert_eq!(hex::encode(&clear_block("1234", "400000123456")), "041274FFFFEDCBA9");
        assert_eq!(found(b"nothing of the kind"), "");
    }

    #[test]
    fn the_memory_of_this_process_holds_what_it_holds() {
        let mut canaries = Canaries::default();
        canaries.pin("271828182845", "400000123456");
        let held = Box::new(clear_block("271828182845", "400000123456"));
        let found = canaries.found_in_process(std::process::id()).expect("our own");
        assert!(found.iter().any(|name| name.starts_with("PIN block in ")), "{found:?}");
        drop(held);
    }
}
