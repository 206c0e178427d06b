//! A private PostgreSQL cluster in a temporary folder, for as long as a test needs it.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running cluster. It ends when the last holder lets go, or the process dies.
pub struct Cluster {
    folder: TempDir,
    watch: Child,
    user: String,
    port: u16,
}

/// The cluster of this process, started if none runs; `None`, with a word on it, where the package is missing.
///
/// # Panics
/// If the package is missing and `CI` is `true`.
pub fn cluster() -> Option<Arc<Cluster>> {
    static RUNNING: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(cluster) = running.upgrade() {
        return Some(cluster);
    }
    let Some(programs) = programs() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the package postgresql is missing");
        eprintln!("SKIP the package `postgresql` is missing: the shared store is not tested");
        return None;
    };
    let cluster = Arc::new(Cluster::start(&programs, None));
    *running = Arc::downgrade(&cluster);
    Some(cluster)
}

/// A cluster of its own that listens at this port of loopback too; `None` as [`cluster`].
pub fn listening(port: u16) -> Option<Cluster> {
    Some(Cluster::start(&programs()?, Some(port)))
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.into_iter().rev().find(|path| path.join("initdb").is_file())
}

// The server refuses to run as root: then the package's own user runs it.
pub fn other_user() -> Option<(u32, u32)> {
    let root = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let line = accounts.lines().find(|line| line.starts_with("postgres:"))?;
    let mut words = line.split(':').skip(2);
    let ids = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    root.then_some(ids)
}

impl Cluster {
    fn start(programs: &Path, port: Option<u16>) -> Self {
        let folder = tempfile::Builder::new().prefix("payhsm-pg").tempdir().unwrap();
        let user = other_user();
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let run = |command: &mut Command| {
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir(folder.path()).stdout(Stdio::null());
        };
        let data = folder.path().join("data");
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "kmc", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        run(&mut initdb);
        assert!(initdb.status().unwrap().success(), "initdb");
        // The shell ends the server when its standard input closes, which the death of this process does too.
        let mut watch = Command::new("sh");
        watch
            .arg("-c")
            .arg("\"$0\" -D \"$1\" -k \"$2\" -c listen_addresses=\"$3\" -p \"$4\" -c max_connections=50 & pid=$!; read line; kill -INT $pid; wait $pid")
            .arg(programs.join("postgres"))
            .arg(&data)
            .arg(folder.path())
            .arg(port.map_or("", |_| "127.0.0.1"))
            .arg(port.unwrap_or(5432).to_string())
            .stdin(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap());
        run(&mut watch);
        let port = port.unwrap_or(5432);
        let cluster = Self { watch: watch.spawn().unwrap(), user: "kmc".to_owned(), folder, port };
        let until = Instant::now() + Duration::from_secs(60);
        while cluster.try_run("postgres", "SELECT 1").is_err() {
            assert!(Instant::now() < until, "the cluster does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster
    }

    /// A new, empty database.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.try_run("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    /// The address of a database.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{}@{folder}:{}/{database}", self.user, self.port)
    }

    /// Its folder, in which `data` is the server's.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs SQL beside the store, as somebody with access to the database can.
    pub fn try_run(
        &self,
        database: &str,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.url(database), tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            let rows = client.simple_query(sql).await?;
            let rows = rows.into_iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
                }
                _ => None,
            });
            Ok(rows.collect())
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}
