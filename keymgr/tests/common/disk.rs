//! Disks as the power leaves them: every file operation of a process is recorded; what was synced is there, and of what
//! was not any part. A small library (`trace.c`) records; it stands between the program and the C library. Shared by the
//! tests of the manager's store and of a node's.
#![allow(dead_code)] // each test uses some of it

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The file into which a recorded process writes what is acknowledged, whole each time.
pub const ACKNOWLEDGED: &str = "acknowledged";

#[derive(Debug)]
pub enum Step {
    Write { file: String, at: u64, bytes: Vec<u8> },
    Cut { file: String, size: u64 },
    Sync { file: String },
    Rename { from: String, to: String },
    SyncFolder,
    Acknowledged(String),
}

// One step a line: `w FILE OFFSET HEX`, `t FILE SIZE`, `s FILE`, `r FILE FILE`.
fn steps(trace: &str, folder: &Path, files: &[&str]) -> Vec<Step> {
    let step = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let file = name(words[1]);
        match words[0] {
            "s" if Path::new(words[1]) == folder => Some(Step::SyncFolder),
            "w" if file == ACKNOWLEDGED => {
                Some(Step::Acknowledged(String::from_utf8(hex::decode(words[3]).unwrap()).unwrap()))
            }
            _ if !files.contains(&file.as_str()) => None,
            "w" => Some(Step::Write {
                file,
                at: words[2].parse().unwrap(),
                bytes: hex::decode(words[3]).unwrap(),
            }),
            "t" => Some(Step::Cut { file, size: words[2].parse().unwrap() }),
            "r" => Some(Step::Rename { from: file, to: name(words[2]) }),
            _ => Some(Step::Sync { file }),
        }
    };
    trace.lines().filter_map(step).collect()
}

/// Runs the ignored test `child` of this very program under the recording: its folder is in `PAYHSM_POWER_FOLDER`. None
/// where there is no C compiler.
pub fn record(folder: &Path, files: &[&str]) -> Option<Vec<Step>> {
    let library = folder.join("trace.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../keymgr/tests/trace.c");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no C compiler");
        eprintln!("SKIP no C compiler `cc`: power loss is not tested");
        return None;
    }
    let data = fs::canonicalize(folder).unwrap().join("data");
    fs::create_dir(&data).unwrap();
    let trace = folder.join("trace");
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored"])
        .env("PAYHSM_POWER_FOLDER", &data)
        .env("TRACE_BELOW", &data)
        .env("TRACE_TO", &trace)
        .env("LD_PRELOAD", &library)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    Some(steps(&fs::read_to_string(trace).unwrap(), &data, files))
}

/// How many disks a test makes.
pub fn images() -> u64 {
    std::env::var("PAYHSM_POWER_IMAGES").map_or(300, |text| text.parse().unwrap())
}

/// Chance that is the same each time.
pub fn draws() -> impl FnMut() -> u64 {
    let mut state = 7u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// Moments behind `first`, in order, so that the recording is walked once.
pub fn moments(images: u64, first: usize, steps: usize, draw: &mut impl FnMut() -> u64) -> Vec<usize> {
    let mut moments: Vec<usize> =
        (0..images).map(|_| first + usize::try_from(draw()).unwrap() % (steps - first)).collect();
    moments.sort_unstable();
    moments
}

/// A file on a disk: what is surely there, and what may be.
#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write(u64, Vec<u8>),
    Cut(u64),
}

fn apply(bytes: &mut Vec<u8>, change: &Pending) {
    match change {
        Pending::Cut(size) => bytes.resize(usize::try_from(*size).unwrap(), 0),
        Pending::Write(at, data) => {
            let at = usize::try_from(*at).unwrap();
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[at..at + data.len()].copy_from_slice(data);
        }
    }
}

impl File {
    fn sync(&mut self) {
        let Self { synced, pending } = self;
        pending.drain(..).for_each(|change| apply(synced, &change));
    }

    // Of the unsynced writes none, all, or any of their sectors.
    fn after_power_loss(&self, how: u64, draw: &mut impl FnMut() -> u64) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.pending {
            match change {
                _ if how == 0 => {}
                _ if how == 1 => apply(&mut bytes, change),
                Pending::Cut(_) => {
                    if draw().is_multiple_of(2) {
                        apply(&mut bytes, change);
                    }
                }
                Pending::Write(at, data) => {
                    for (n, sector) in data.chunks(512).enumerate() {
                        if !draw().is_multiple_of(3) {
                            apply(&mut bytes, &Pending::Write(at + 512 * n as u64, sector.to_vec()));
                        }
                    }
                }
            }
        }
        bytes
    }
}

type Names = HashMap<String, usize>;

/// The disk of a process. A file that was made is there; that it was renamed is sure once the folder was synced.
#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    now: Names,
    synced: Names,
    renamed: Vec<(String, String)>,
    /// It forgets what it said was synced.
    pub lies: bool,
}

fn rename(names: &mut Names, (from, to): &(String, String)) {
    if let Some(file) = names.remove(from) {
        names.insert(to.clone(), file);
    }
}

impl Disk {
    fn file(&mut self, name: &str) -> &mut File {
        let at = self.now.get(name).copied().unwrap_or_else(|| {
            self.files.push(File::default());
            let at = self.files.len() - 1;
            self.now.insert(name.to_owned(), at);
            self.synced.insert(name.to_owned(), at);
            at
        });
        &mut self.files[at]
    }

    /// The next step of the recording.
    pub fn follow(&mut self, step: &Step) {
        match step {
            Step::Write { file, at, bytes } => {
                self.file(file).pending.push(Pending::Write(*at, bytes.clone()));
            }
            Step::Cut { file, size } => self.file(file).pending.push(Pending::Cut(*size)),
            Step::Sync { .. } | Step::SyncFolder if self.lies => {}
            Step::Sync { file } => self.file(file).sync(),
            Step::Rename { from, to } => {
                let names = (from.clone(), to.clone());
                rename(&mut self.now, &names);
                self.renamed.push(names);
            }
            Step::SyncFolder => {
                self.synced = self.now.clone();
                self.renamed.clear();
            }
            Step::Acknowledged(_) => {}
        }
    }

    /// Writes and renames of which nobody knows whether they will be there.
    pub fn in_doubt(&self) -> usize {
        self.files.iter().map(|file| file.pending.len()).sum::<usize>() + self.renamed.len()
    }

    /// Puts the files into a folder as they are after the power went.
    pub fn after_power_loss(&self, folder: &Path, how: u64, draw: &mut impl FnMut() -> u64) {
        let mut names = self.synced.clone();
        let kept = match how {
            0 => 0,
            1 => self.renamed.len(),
            // A folder's changes come to the disk in their order.
            _ => usize::try_from(draw()).unwrap() % (self.renamed.len() + 1),
        };
        self.renamed.iter().take(kept).for_each(|names_of_one| rename(&mut names, names_of_one));
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        for (name, at) in names {
            fs::write(folder.join(name), self.files[at].after_power_loss(how, draw)).unwrap();
        }
    }
}
