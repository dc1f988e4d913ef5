//! `up` and `down`: servers that outlive the command that started them, and end when asked.

use harness::{Program, Signal, send_signal, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ends the servers even if the test fails.
struct Servers(tempfile::TempDir);

impl Servers {
    fn run(&self, command: &str) -> String {
        let folder = self.data().display().to_string();
        let mut program = Program::start("harness", [command, "--folder", &folder], &[], self.0.path())
            .expect("harness is built");
        let status = program.wait(Duration::from_secs(300)).expect("it ends");
        assert!(status.success(), "{}", program.stderr());
        program.stdout()
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Pids by server, as recorded.
    fn pids(&self) -> BTreeMap<String, u32> {
        let entries = fs::read_dir(self.data()).expect("up made it").flatten();
        let pid = |server: PathBuf| fs::read_to_string(server.join("pid")).ok()?.trim().parse().ok();
        entries
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, pid(entry.path())?)))
            .collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if !self.pids().is_empty() {
            self.run("down");
        }
    }
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).join("cwd").read_link().is_ok()
}

#[test]
fn servers_stay_up_until_they_are_put_down() {
    let servers = Servers(tempfile::tempdir().unwrap());
    let guide = servers.run("up");
    assert!(guide.contains("Kafka      127.0.0.1:") && guide.contains("redis-cli -p "), "{guide}");
    let first = servers.pids();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["kafka-1", "redis", "zookeeper"]);
    assert!(first.values().all(|&pid| is_alive(pid)));

    // Up again: nothing is started twice.
    assert!(servers.run("up").starts_with("the servers are up already"));
    assert_eq!(servers.pids(), first);

    // One of them killed: all three are started anew.
    send_signal(first["redis"], Signal::KILL).unwrap();
    // Until then it would be taken for up.
    wait_until("the killed Redis to be gone", Duration::from_secs(30), || !is_alive(first["redis"])).unwrap();
    servers.run("up");
    let second = servers.pids();
    assert!(second.values().all(|&pid| is_alive(pid)));
    assert!(!first.values().any(|&pid| is_alive(pid)));

    let said = servers.run("down");
    assert!(said.starts_with("stopped kafka-1, redis, zookeeper"), "{said}");
    assert!(!second.values().any(|&pid| is_alive(pid)));

    // A recorded pid that now belongs to somebody else (here: to this test) is left alone.
    fs::write(servers.data().join("redis/pid"), std::process::id().to_string()).unwrap();
    assert!(servers.run("down").starts_with("nothing was up"));
    fs::remove_file(servers.data().join("redis/pid")).unwrap();
}
