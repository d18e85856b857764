//! SIGKILL at random moments, half of the time once more while the next process recovers: an acknowledged event is
//! there afterwards, always.

use std::time::Duration;

use netstats_log::FjallLog;

use crate::child::{Appender, options};
use crate::support::{Acknowledged, Random, count, prove, tell};

#[test]
fn no_acknowledged_event_is_lost_when_the_process_is_killed() {
    let cycles = count(200);
    let mut random = Random::new();
    let seed = random.seed;
    let folder = tempfile::tempdir().unwrap();
    let mut path = folder.path().join("log-0");
    let (mut acknowledged, mut all, mut kills) = (Acknowledged::default(), 0, 0);
    for cycle in 0..cycles {
        let context = format!("cycle {cycle}, seed {seed}");
        if cycle % 2 == 1 {
            // Killed again while it recovers from the last kill.
            let mut child = Appender::ready(&path, None);
            child.go();
            acknowledged = child.read_until_killed(Duration::from_millis(random.below(60)), acknowledged);
            kills += 1;
        }
        let mut child = Appender::ready(&path, None);
        child.go();
        // Bounded by the test runner: a child that hangs at its start says nothing.
        let there = child.opened().unwrap_or_else(|why| panic!("{context}: {why}"));
        assert!(there >= acknowledged.last, "{context}: {} acknowledged, {there} there", acknowledged.last);
        acknowledged = child.read_until_killed(Duration::from_millis(20 + random.below(180)), acknowledged);
        kills += 1;
        // The next child says what it found; every tenth time the parent proves it all, and begins anew now and then:
        // beginnings are killed as well.
        if cycle % 10 == 9 || cycle + 1 == cycles {
            let log = FjallLog::open_with(&path, options()).unwrap_or_else(|error| panic!("{context}: {error}"));
            prove(&log, acknowledged, &context);
            if cycle % 50 == 49 {
                all += acknowledged.last;
                drop(log);
                std::fs::remove_dir_all(&path).unwrap();
                (path, acknowledged) = (folder.path().join(format!("log-{cycle}")), Acknowledged::default());
            }
        }
    }
    all += acknowledged.last;
    assert!(all > cycles, "the children hardly wrote anything");
    tell(&format!("{kills} kills, {all} events acknowledged, 0 lost"));
}
