//! A key management centre as people run it: the program `payhsm`, a home folder for each person, and the manager as
//! a process of its own.

use crate::processes::{Overdue, signal};
use crate::server::program;
use crate::softhsm::TempToken;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// For how long a command may run, and a process may say nothing at its start: longer than any test lets it wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// The bytes of a text in base64, as `openssl` reads it.
pub fn base64(text: &str) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["base64", "-d", "-A"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    child.wait_with_output().expect("ends").stdout
}

/// A process that ends with its owner.
pub struct Process(pub Child);

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end and waits until it has: a node says then that it serves nobody. Dropped, it is killed.
    pub fn end(mut self) {
        signal(self.id(), "TERM");
        let asked = Instant::now();
        while self.0.try_wait().expect("a child").is_none() {
            assert!(asked.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command came to.
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The folder in which all of it lies.
pub struct House {
    folder: tempfile::TempDir,
    manager: Option<String>,
    environment: Vec<(String, PathBuf)>,
    master: &'static [&'static str],
    // One of the officers.
    first: String,
}

const PASSPHRASE: &str = "correct horse battery";

impl House {
    /// Homes for persons; the first three are officers. Options of `kmc init` name what the others are.
    pub fn found(persons: &[&str], options: &[&str]) -> Self {
        Self::found_with(persons, &[], options)
    }

    /// The same, with homes for more, who are none of the first.
    pub fn found_with(persons: &[&str], others: &[&str], options: &[&str]) -> Self {
        let mut house = Self::empty(&["--insecure-test-lmk"]);
        house.begin(persons, others, options);
        house
    }

    /// The same with the master key on a token that a URI names: made there, named when the centre is made, and found
    /// by what its folder remembers when it is served. Every command has the variables.
    pub fn found_over(
        token: &TempToken,
        uri: &str,
        variables: &[(&str, PathBuf)],
        persons: &[&str],
        options: &[&str],
    ) -> Self {
        let mut house = Self::empty(&[]);
        house.set("SOFTHSM2_CONF", &token.configuration());
        house.set("STATE_DIRECTORY", token.folder());
        variables.iter().for_each(|(name, value)| house.set(name, value));
        let pin = token.pin_file();
        let place = ["--backend", "pkcs11", "--token", uri, "--pin-file", &pin];
        house.run("admin", &[&["lmk", "init", "--id", "2"], &place[..]].concat());
        house.begin(persons, &[], &[options, &place].concat());
        house
    }

    fn empty(master: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        Self { folder, manager: None, environment: Vec::new(), master, first: String::new() }
    }

    fn begin(&mut self, persons: &[&str], others: &[&str], options: &[&str]) {
        self.first = persons.first().copied().unwrap_or_default().to_owned();
        let house = &*self;
        std::fs::write(house.path("passphrase"), PASSPHRASE).expect("written");
        for name in persons.iter().chain(others) {
            house.run(name, &["person", "new", name]);
        }
        let officers: Vec<String> = persons.iter().take(3).map(|name| format!("{name}.person")).collect();
        let mut init =
            vec!["kmc", "init", "--kmc", "kmc", "--listen", "127.0.0.1:0", "--link", "127.0.0.1:0"];
        officers.iter().for_each(|file| init.extend(["--officer", file]));
        init.extend(options);
        house.run("admin", &init);
        for name in &persons[..3] {
            house.run(name, &["person", "sign-root", "kmc/genesis.json", "--yes"]);
        }
    }

    /// A file of the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A variable that every command has from now on.
    pub fn set(&mut self, name: &str, value: &Path) {
        self.environment.push((name.to_owned(), value.to_path_buf()));
    }

    /// A command of a person, as it would be run.
    pub fn command(&self, who: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("PAYHSM_HOME", self.path(who)).env("PAYHSM_PASSPHRASE_FILE", self.path("passphrase"));
        command.env("PAYHSM_KMC_PASSPHRASE_FILE", self.path("passphrase"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(manager) = &self.manager {
            command.env("PAYHSM_MANAGER", manager);
        }
        command
    }

    /// Starts the manager; what it logs goes to `kmc.log`.
    pub fn serve(&mut self, options: &[&str]) -> Process {
        let log = File::options().create(true).append(true).open(self.path("kmc.log")).expect("log");
        let args = [&["kmc", "serve", "--kmc", "kmc"], self.master, options].concat();
        let mut command = self.command("admin", &args);
        command.env("PAYHSM_LOG", "trace");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let process = Process(child);
        let _overdue = Overdue::after(PATIENCE, process.id());
        loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).expect("read") > 0, "the manager ended early: {}", self.log());
            if let Some(address) = line.strip_prefix("manager ") {
                self.manager = Some(address.trim().to_owned());
                return process;
            }
        }
    }

    /// Starts a command that goes on; gives the first line that it prints.
    pub fn first_line(&self, who: &str, args: &[&str]) -> (Process, String) {
        let mut child =
            self.command(who, args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let mut line = String::new();
        let _overdue = Overdue::after(PATIENCE, child.id());
        let read = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line);
        let process = Process(child);
        assert!(read.expect("read") > 0, "{args:?} ended early");
        (process, line)
    }

    /// Starts a node that asks by a token to be let in; gives `NAME=FINGERPRINT`, as its own screen shows it.
    pub fn node(&self, name: &str) -> (Process, String) {
        self.run("otto", &["node", "token", name]);
        self.node_again(name)
    }

    /// The same with the token that it has: a node that starts again.
    pub fn node_again(&self, name: &str) -> (Process, String) {
        let token = format!("{name}.token");
        let args = ["serve", "--insecure-test-lmk", "--listen", "127.0.0.1:0", "--data", name];
        let more = ["--enrol", &token, "--node-name", name];
        let mut command = self.command("admin", &[&args[..], &more].concat());
        let log =
            File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).expect("log");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let process = Process(child);
        let _overdue = Overdue::after(PATIENCE, process.id());
        loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).expect("read") > 0, "node {name} ended early");
            if let Some(id) = line.strip_prefix("node ").and_then(|rest| rest.split("id=").nth(1)) {
                let id = id.split_whitespace().next().expect("an id").to_owned();
                // What is printed later must not block the process.
                std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
                return (process, format!("{name}={id}"));
            }
        }
    }

    /// Starts a node that has enrolled before.
    pub fn node_back(&self, name: &str) -> Process {
        self.node_back_with(name, &[])
    }

    /// The same with more arguments.
    pub fn node_back_with(&self, name: &str, more: &[&str]) -> Process {
        let args = ["serve", "--insecure-test-lmk", "--listen", "127.0.0.1:0", "--data", name];
        let mut command = self.command("admin", &[&args[..], more].concat());
        Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"))
    }

    /// What the manager has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("kmc.log")).unwrap_or_default()
    }

    /// Runs a command as a person, who types `typed`. One that does not end is a failure that tells the whole story.
    pub fn try_typed(&self, who: &str, args: &[&str], typed: &str) -> Ended {
        self.within(PATIENCE, who, args, typed)
            .unwrap_or_else(|ended| panic!("{who}: {args:?} did not end\n{}{}", ended.err, self.story()))
    }

    // What it had come to when its time was over is the error.
    fn within(&self, time: Duration, who: &str, args: &[&str], typed: &str) -> Result<Ended, Ended> {
        let mut command = self.command(who, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let overdue = Overdue::after(time, child.id());
        // A program that does not read is not waited for.
        let _ = child.stdin.take().expect("piped").write_all(typed.as_bytes());
        let ended = child.wait_with_output().expect("ends");
        let came_to = Ended {
            code: ended.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&ended.stdout).into_owned(),
            err: String::from_utf8_lossy(&ended.stderr).into_owned(),
        };
        if overdue.is_over() { Err(came_to) } else { Ok(came_to) }
    }

    /// How centre and nodes stand, and the ends of their logs: for a failure that nobody can look at later.
    pub fn story(&self) -> String {
        let mut story = String::new();
        for args in [&["campaign", "show"][..], &["node", "list", "--json"], &["kmc", "status", "--json"]] {
            let (Ok(said) | Err(said)) = self.within(Duration::from_secs(30), &self.first, args, "");
            story += &format!("-- {args:?}: {}\n{}{}", said.code, said.out, said.err);
        }
        let files = self
            .files("")
            .into_iter()
            .filter(|(name, _)| Path::new(name).extension() == Some("log".as_ref()));
        for (name, text) in files {
            let text = String::from_utf8_lossy(&text).into_owned();
            let loud: Vec<&str> =
                text.lines().filter(|l| l.contains("WARN") || l.contains("ERROR")).collect();
            let last: Vec<&str> = text.lines().collect();
            for (what, lines) in [("warnings and errors", loud), ("the end", last)] {
                let from = lines.len().saturating_sub(60);
                story += &format!("-- {name}, {what}:\n{}\n", lines[from..].join("\n"));
            }
        }
        story
    }

    /// Runs a command as a person.
    pub fn attempt(&self, who: &str, args: &[&str]) -> Ended {
        self.try_typed(who, args, "")
    }

    /// The same where it must succeed; gives standard output.
    pub fn run(&self, who: &str, args: &[&str]) -> String {
        self.typed(who, args, "")
    }

    /// The same with something typed.
    pub fn typed(&self, who: &str, args: &[&str], typed: &str) -> String {
        let ended = self.try_typed(who, args, typed);
        assert_eq!(ended.code, 0, "{who}: {args:?}\n{}\n{}", ended.out, ended.err);
        ended.out
    }

    /// The JSON that a command prints.
    pub fn json(&self, who: &str, args: &[&str]) -> serde_json::Value {
        let out = self.run(who, &[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}\n{out}"))
    }

    /// Somebody asks for something; two officers approve everything that waits. Gives the id of the last action.
    pub fn approved(&self, who: &str, args: &[&str]) -> String {
        let asked = self.json(who, args);
        let last = asked.as_array().and_then(|all| all.last()).cloned().unwrap_or(asked);
        let action = last["action"].as_str().expect("an action").to_owned();
        for officer in ["ada", "ben"] {
            self.run(officer, &["approve", "sign", "--all", "--yes"]);
        }
        let state = self.json("ada", &["approve", "show", &action])["state"].clone();
        assert!(state == "done" || state == "approved", "{args:?}: {state}");
        action
    }

    /// Every file of a folder below: name and content.
    pub fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.path(folder)).expect("folder").flatten() {
            let mut content = Vec::new();
            if entry.path().is_file() {
                File::open(entry.path()).and_then(|mut file| file.read_to_end(&mut content)).expect("read");
                all.push((entry.file_name().to_string_lossy().into_owned(), content));
            }
        }
        all
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !so(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}\n{}", self.story());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
