//! How busy this machine and this process are, where the system tells (Linux).

/// Readings of the processor's time, in clock ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    all: u64,
    idle: u64,
    own: u64,
}

/// What share of the machine was in use between two readings, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) own_permille: u16,
    pub(super) busy_permille: u16,
}

impl Cpu {
    pub(super) fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?, &std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// `proc(5)`: of the machine user, nice, system, idle, iowait, ...; of the process fields 14 and 15.
    fn of(machine: &str, process: &str) -> Option<Self> {
        let ticks = machine.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = ticks.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        // The name in parentheses may hold anything.
        let mut fields = process.rsplit_once(')')?.1.split_whitespace().skip(11);
        let own = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        Some(Self { all: ticks.iter().take(8).sum(), idle, own })
    }

    pub(super) fn since(self, before: Self) -> Share {
        let all = self.all.saturating_sub(before.all).max(1);
        let permille = |part: u64| u16::try_from((part * 1_000 / all).min(1_000)).unwrap_or(1_000);
        Share {
            own_permille: permille(self.own.saturating_sub(before.own)),
            busy_permille: permille(all.saturating_sub(self.idle.saturating_sub(before.idle))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_whole_machine() {
        let process = |user| format!("17 (a) b) S 1 1 1 0 -1 4 0 0 0 0 {user} 50 0 0 20 0 3 0 100");
        let before = Cpu::of("cpu  100 0 100 700 100 0 0 0 0 0\n", &process(100)).unwrap();
        let after = Cpu::of("cpu  600 0 200 1000 200 0 0 0 9 9\ncpu0 1\n", &process(350)).unwrap();
        assert_eq!(after.since(before), Share { own_permille: 250, busy_permille: 600 });
        assert_eq!(Cpu::of("", "").map(|cpu| cpu.all), None);
    }
}
