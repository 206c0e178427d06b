//! The first-time path of README: its very lines, read from there and run one after the other, each under one person's
//! credential, from separate home folders, with the manager and both nodes as processes of their own.
//!
//! What the lines leave open is put in: the manager's address, the ids that units have printed, ports that are free, and
//! `--yes` where a person would be asked. Nothing else is run in between.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The README says so.
const COMMANDS_MAX: usize = 20;

struct World {
    folder: tempfile::TempDir,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn command(&self, who: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_payhsm"));
        command.args(args).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("PAYHSM_HOME", self.path(who));
        // Each has an own one, and the centre has one that none of them knows.
        let (own, kmc) = (self.path(&format!("{who}.passphrase")), self.path("kmc.passphrase"));
        for (file, text) in [(&own, who), (&kmc, "centre")] {
            std::fs::write(file, format!("correct horse battery {text}\n")).unwrap();
        }
        command.env("PAYHSM_PASSPHRASE_FILE", own);
        if who == "admin" {
            command.env("PAYHSM_KMC_PASSPHRASE_FILE", kmc);
        }
        command
    }

    fn run(&self, who: &str, args: &[&str]) -> String {
        let out = self.command(who, args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{who}: {args:?}: {}\n{text}\n{wrong}", out.status);
        text
    }

    fn start(&self, who: &str, args: &[&str], wanted: &str) -> (Process, String) {
        let mut command = self.command(who, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let process = Process(child);
        loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "{who}: {args:?} ended early");
            if line.starts_with(wanted) {
                // What is printed later must not block the process.
                std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
                return (process, line.trim_end().to_owned());
            }
        }
    }
}

fn word<'a>(line: &'a str, name: &str) -> &'a str {
    line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A line of the path.
struct Line {
    words: Vec<String>,
    comment: String,
}

impl Line {
    // `payhsm WORD… # COMMENT`; the address of a manager has a `#` too, with no space before it.
    fn of(line: &str) -> Self {
        let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
        let words = command.trim().strip_prefix("payhsm ").unwrap_or_else(|| panic!("no command: {line}"));
        let words = words.split_whitespace().map(str::to_owned).collect();
        Self { words, comment: comment.to_owned() }
    }

    fn is(&self, verb: &str) -> bool {
        self.words.join(" ").starts_with(verb)
    }

    // Whom the comment names first, or the person who is made; else whoever runs the machines.
    fn who(&self) -> &str {
        let named = self.comment.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        match named {
            "ada" | "ben" | "cleo" | "otto" => named,
            _ if self.is("person new") => self.words.last().unwrap(),
            _ => "admin",
        }
    }

    fn stays(&self) -> bool {
        self.comment.split([';', ',']).any(|part| part.trim().starts_with("stays"))
    }

    // What it prints first when it stays.
    fn greeting(&self) -> &'static str {
        match () {
            () if self.is("kmc serve") => "manager ",
            () if self.is("serve") => "node ",
            () => "action ",
        }
    }

    // With what README leaves open.
    fn filled(&self, known: &Known) -> Vec<String> {
        let fill = |word: &String| match word.as_str() {
            "https://…#KEY" => known.manager.clone(),
            "127.0.0.1:1500" | "127.0.0.1:1600" => "127.0.0.1:0".to_owned(),
            other => match other.strip_suffix("=ID") {
                Some(name) => format!("{name}={}", known.ids[name]),
                None => word.clone(),
            },
        };
        let mut words: Vec<String> = self.words.iter().map(fill).collect();
        let more: &[&str] = if self.is("kmc init") {
            &["--listen", "127.0.0.1:0", "--link", "127.0.0.1:0"]
        } else if ["person sign-root", "approve sign", "rotate"].iter().any(|verb| self.is(verb)) {
            &["--yes"]
        } else {
            &[]
        };
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words
    }
}

fn readme() -> Vec<Line> {
    let text = include_str!("../../README.md");
    let (_, text) = text.split_once("a test runs them:").expect("README has the path");
    let (_, text) = text.split_once("```sh\n").unwrap();
    let (block, _) = text.split_once("```").unwrap();
    block.lines().map(Line::of).collect()
}

/// What was printed on the way.
#[derive(Default)]
struct Known {
    manager: String,
    ids: BTreeMap<String, String>,
}

// Units ask at once and then every two seconds. People take longer to copy two fingerprints; whoever is faster is told
// that one does not ask yet, nothing has happened, and the same line is right a moment later.
fn once_they_ask(world: &World, who: &str, args: &[&str]) {
    wait_for("both units ask", || {
        let out = world.command(who, args).output().unwrap();
        let says = String::from_utf8_lossy(&out.stderr).into_owned();
        let done = out.status.success();
        assert!(done || says.contains("not every one of these asks"), "{args:?}: {says}");
        done
    });
}

#[test]
fn the_first_time_path() {
    let world = World { folder: tempfile::tempdir().unwrap() };
    let lines = readme();
    assert!(lines.len() <= COMMANDS_MAX, "{} commands", lines.len());
    let verbs = ["kmc init", "kmc serve", "zone new", "rotate zone", "kmc verify"];
    assert!(verbs.iter().all(|verb| lines.iter().filter(|line| line.is(verb)).count() == 1));
    let count = |verb: &str| lines.iter().filter(|line| line.is(verb)).count();
    assert_eq!((count("person new"), count("person sign-root"), count("serve")), (4, 3, 2));

    let (mut known, mut machines, mut rotation) = (Known::default(), Vec::new(), None);
    for line in &lines {
        let args = line.filled(&known);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        if line.is("kmc verify") {
            let rotation: Option<Process> = rotation.take();
            assert!(rotation.expect("one was begun").0.wait().unwrap().success(), "the campaign completed");
        }
        if line.stays() {
            let (process, said) = world.start(line.who(), &args, line.greeting());
            match line.greeting() {
                "manager " => said.strip_prefix("manager ").unwrap().clone_into(&mut known.manager),
                "node " => {
                    known.ids.insert(word(&said, "name=").to_owned(), word(&said, "id=").to_owned());
                }
                _ => {
                    rotation = Some(process);
                    continue;
                }
            }
            machines.push(process);
        } else if line.is("zone new") {
            once_they_ask(&world, line.who(), &args);
        } else {
            let said = world.run(line.who(), &args);
            assert!(!line.is("kmc verify") || !said.is_empty());
        }
    }
    // Both nodes are processes of `serve`, and hold the key by their receipts.
    let text = world.run("otto", &["node", "list", "--json"]);
    let known: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(known.iter().all(|node| node["root_kek"]["kcv"].is_string()));
    assert!(known.iter().all(|node| node["traffic"] == "in_traffic" && node["gated"] == true), "{text}");
    // What serves hosts is not left behind: by what was declared, nor by its own word.
    let refused = |world: &World| {
        let out =
            world.command("otto", &["rotate", "zone", "east", "--yes", "--except", "n2"]).output().unwrap();
        let says = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && says.contains("in_traffic"), "{says}");
        assert!(says.contains("not to be excepted"), "{says}");
    };
    refused(&world);
    wait_for("a beat of each node", || {
        let text = world.run("otto", &["node", "list", "--json"]);
        let known: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        known.iter().all(|node| node["serving_utc_ms"].as_u64().unwrap() > 0)
    });
    world.run("otto", &["node", "traffic", "n2", "offline"]);
    refused(&world);
    let text = world.run("otto", &["key", "list", "--json"]);
    let keys: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(keys.len(), 1);
    assert!(!text.contains("block"), "no key block is shown");
    for report in ["inventory", "expiring", "campaign", "nodes"] {
        for form in ["--html", "--csv", "--json"] {
            assert!(!world.run("otto", &["report", report, form]).is_empty());
        }
    }
    no_key_in(world.folder.path());
    receipts_are_shown(&world, machines);
}

// What a node shows when the centre denies that it was told: kept beside its service, held against the centre's public
// keys when neither runs any more.
fn receipts_are_shown(world: &World, machines: Vec<Process>) {
    world.run("otto", &["root", "show", "--to", "roots"]);
    let nodes = ["n1", "n2"];
    // A proof comes at the end of a wait for mail.
    wait_for("a proof for each node", || {
        nodes.iter().all(|node| {
            let file = format!("{node}.receipts");
            world.run("admin", &["node", "evidence", "--data", node, "--to", &file]).contains("proved up to")
        })
    });
    drop(machines);
    let verify = |file: &str| {
        let out = world
            .command("nobody", &["audit", "verify-receipt", file, "--root", "roots", "--json"])
            .output()
            .unwrap();
        let says = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code(), says(&out.stdout), says(&out.stderr))
    };
    for node in nodes {
        let (code, said, wrong) = verify(&format!("{node}.receipts"));
        let shown: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(code == Some(0) && shown["holds"] == true, "{node}: {said} {wrong}");
        let receipts = shown["receipts"].as_array().unwrap();
        let activated = |receipt: &serde_json::Value| receipt["kind"] == "activated";
        assert!(receipts.iter().any(activated), "{node}: the rotation is among them: {said}");
    }
    let refused = |what: &str, content: &str, reason: &str| {
        std::fs::write(world.path("changed"), content).unwrap();
        let (code, said, wrong) = verify("changed");
        assert!(code == Some(1) && wrong.contains(reason), "{what}: {code:?} {said} {wrong}");
    };
    let [one, two] =
        nodes.map(|node| std::fs::read_to_string(world.path(&format!("{node}.receipts"))).unwrap());
    let (before, signature) = one.split_once("\"receipts\":").unwrap();
    let (head, signature) = signature.split_once("\"signature\":\"").unwrap();
    let (first, rest) = signature.split_at(1);
    let other = if first == "a" { "b" } else { "a" };
    let changed = format!("{before}\"receipts\":{head}\"signature\":\"{other}{rest}");
    assert_eq!(changed.bytes().zip(one.bytes()).filter(|(new, old)| new != old).count(), 1);
    refused("one byte changed", &changed, "is not signed by the node");
    // Receipts of the one under the name of the other.
    let own = |text: &str, field: &str| {
        let all: serde_json::Value = serde_json::from_str(text).unwrap();
        all[field].as_str().unwrap().to_owned()
    };
    let name = two.replacen(&own(&two, "node"), &own(&one, "node"), 1);
    refused("another node", &name, "the key is not that of the node's id");
    let key = name.replacen(&own(&two, "key"), &own(&one, "key"), 1);
    refused("another node and its key", &key, "is not signed by the node");
}

// Nothing in any home folder is readable by others.
fn no_key_in(folder: &Path) {
    use std::os::unix::fs::MetadataExt;
    for name in ["ada", "ben", "cleo", "otto", "kmc"] {
        for file in std::fs::read_dir(folder.join(name)).unwrap() {
            let file = file.unwrap();
            if file.file_name().to_string_lossy().ends_with(".pem") {
                assert_eq!(file.metadata().unwrap().mode() & 0o077, 0, "{:?}", file.path());
            }
        }
    }
}
