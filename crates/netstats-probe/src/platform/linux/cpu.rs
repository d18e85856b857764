//! The processor's time, of the machine and of this process.

use std::fs;

use crate::bandwidth::Cpu;

/// A reading.
pub(crate) fn cpu() -> Option<Cpu> {
    of(&fs::read_to_string("/proc/stat").ok()?, &fs::read_to_string("/proc/self/stat").ok()?)
}

/// `proc(5)`: of the machine user, nice, system, idle, iowait, ...; of the process fields 14 and 15.
fn of(machine: &str, process: &str) -> Option<Cpu> {
    let ticks = machine.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = ticks.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    // The name in parentheses may hold anything.
    let mut fields = process.rsplit_once(')')?.1.split_whitespace().skip(11);
    let own = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Cpu { all: ticks.iter().take(8).sum(), idle, own })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_read() {
        let process = |user| format!("17 (a) b) S 1 1 1 0 -1 4 0 0 0 0 {user} 50 0 0 20 0 3 0 100");
        let read = |machine: &str, user| of(machine, &process(user)).unwrap();
        let before = read("cpu  100 0 100 700 100 0 0 0 0 0\n", 100);
        assert_eq!(before, Cpu { all: 1_000, idle: 800, own: 150 });
        let after = read("cpu  600 0 200 1000 200 0 0 0 9 9\ncpu0 1\n", 350);
        assert_eq!(after, Cpu { all: 2_000, idle: 1_200, own: 400 });
        assert_eq!(of("", ""), None);
        assert!(cpu().is_some());
    }
}
