//! The first-time path of README, command by command: each under one person's credential, from separate home
//! folders, with the manager and both nodes as processes of their own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct World {
    folder: tempfile::TempDir,
    commands: usize,
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

    fn command(&mut self, who: &str, args: &[&str]) -> Command {
        self.commands += 1;
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

    fn run(&mut self, who: &str, args: &[&str]) -> String {
        let out = self.command(who, args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{who}: {args:?}: {}\n{text}\n{wrong}", out.status);
        text
    }

    fn start(&mut self, who: &str, args: &[&str], wanted: &str) -> (Process, String) {
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

#[test]
fn the_first_time_path() {
    let mut world = World { folder: tempfile::tempdir().unwrap(), commands: 0 };
    for name in ["ada", "ben", "cleo", "otto"] {
        world.run(name, &["person", "new", name]);
    }
    world.run(
        "admin",
        &[
            "kmc",
            "init",
            "--kmc",
            "kmc",
            "--listen",
            "127.0.0.1:0",
            "--link",
            "127.0.0.1:0",
            "--officer",
            "ada.person",
            "--officer",
            "ben.person",
            "--officer",
            "cleo.person",
            "--operator",
            "otto.person",
        ],
    );
    for officer in ["ada", "ben", "cleo"] {
        world.run(officer, &["person", "sign-root", "kmc/genesis.json", "--yes"]);
    }
    let serve = ["kmc", "serve", "--kmc", "kmc", "--insecure-test-lmk"];
    let (_manager, line) = world.start("admin", &serve, "manager ");
    let manager = line.strip_prefix("manager ").unwrap().to_owned();
    world.run("otto", &["node", "token", "n1", "n2", "--manager", &manager]);
    let mut nodes = Vec::new();
    let mut list = Vec::new();
    for name in ["n1", "n2"] {
        let token = format!("{name}.token");
        let args = [
            "serve",
            "--insecure-test-lmk",
            "--listen",
            "127.0.0.1:0",
            "--data",
            name,
            "--enrol",
            &token,
            "--node-name",
            name,
        ];
        let (node, line) = world.start("admin", &args, "node ");
        nodes.push(node);
        list.push(format!("{name}={}", word(&line, "id=")));
    }
    let asking = |world: &mut World| {
        let before = world.commands;
        let text = world.run("otto", &["node", "asking", "--json"]);
        world.commands = before;
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap().len() == 2
    };
    wait_for("both nodes ask", || asking(&mut world));
    world.run(
        "otto",
        &["zone", "new", "east", "--enrol", &list[0], "--enrol", &list[1], "--overlap", "3s", "--lead", "1s"],
    );
    for officer in ["ada", "ben"] {
        world.run(officer, &["approve", "sign", "--all", "--yes", "--manager", &manager]);
    }
    world.run("otto", &["node", "traffic", "n1", "n2", "in"]);
    let (mut rotation, _) = world.start("otto", &["rotate", "zone", "east", "--yes", "--watch"], "action ");
    for officer in ["ada", "ben"] {
        world.run(officer, &["approve", "sign", "--all", "--yes"]);
    }
    assert!(rotation.0.wait().unwrap().success(), "the campaign completed");
    let verified = world.run("otto", &["kmc", "verify"]);
    assert!(!verified.is_empty());
    // Both nodes are processes of `serve`, and hold the key by their receipts.
    assert!(world.commands <= 20, "{} commands", world.commands);
    let text = world.run("otto", &["node", "list", "--json"]);
    let known: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(known.iter().all(|node| node["root_kek"]["kcv"].is_string()));
    assert!(known.iter().all(|node| node["traffic"] == "in_traffic" && node["gated"] == true), "{text}");
    // What serves hosts is not left behind: by what was declared, nor by its own word.
    let refused = |world: &mut World| {
        let out =
            world.command("otto", &["rotate", "zone", "east", "--yes", "--except", "n2"]).output().unwrap();
        let says = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && says.contains("in_traffic"), "{says}");
        assert!(says.contains("not to be excepted"), "{says}");
    };
    refused(&mut world);
    wait_for("a beat of each node", || {
        let text = world.run("otto", &["node", "list", "--json"]);
        let known: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        known.iter().all(|node| node["serving_utc_ms"].as_u64().unwrap() > 0)
    });
    world.run("otto", &["node", "traffic", "n2", "offline"]);
    refused(&mut world);
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
