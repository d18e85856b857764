//! How busy this machine and this process are, where the system tells.

/// Readings of the processor's time, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Of all processors, idle or not.
    pub(crate) all: u64,
    pub(crate) idle: u64,
    /// Of this process.
    pub(crate) own: u64,
}

/// What share of the machine was in use between two readings, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) own_permille: u16,
    pub(super) busy_permille: u16,
}

impl Cpu {
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
        let before = Cpu { all: 900, idle: 800, own: 150 };
        let after = Cpu { all: 1_900, idle: 1_200, own: 400 };
        assert_eq!(after.since(before), Share { own_permille: 250, busy_permille: 600 });
    }
}
