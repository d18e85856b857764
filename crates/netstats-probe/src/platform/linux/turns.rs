//! How soon a thread that wakes gets a processor (sched(7), sched_setattr(2)).

use std::mem::size_of;

/// The shortest turn that the kernel gives.
const TURN_NS: u64 = 100_000;
/// The priority asked for.
const NICE: i32 = -10;
const SCHED_OTHER: u32 = 0;
const BYTES: u32 = size_of::<SchedAttr>() as u32;

/// `struct sched_attr`, as it was at first: the kernel fills and reads as much as `size` says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Asks the system to wake the calling thread at once when its time has come, also beside threads that use all there
/// is: a thread that sends and notes, and computes nothing for long.
///
/// - Priority ([`NICE`]), where that is allowed: CAP_SYS_NICE, or `RLIMIT_NICE` (`LimitNICE=` of a systemd unit).
/// - Short turns, which come the earlier: nobody needs a privilege for them, and its share of the processors stays the
///   same. Linux 6.12 and later; earlier ones pass over it.
pub fn be_prompt() {
    let mut attr = SchedAttr::default();
    // Somebody who gave it another policy, or a better priority, knows better.
    if !get(&mut attr) || attr.policy != SCHED_OTHER {
        return;
    }
    attr = SchedAttr { size: BYTES, flags: 0, runtime: TURN_NS, ..attr };
    // A refusal of both leaves all as it was, which is no harm.
    let _ = set(&SchedAttr { nice: attr.nice.min(NICE), ..attr }) || set(&attr);
}

#[expect(unsafe_code, reason = "a system call that libc has no function for")]
fn get(attr: &mut SchedAttr) -> bool {
    // SAFETY: the kernel writes at most `BYTES` bytes into `attr`, which lives until the call returns.
    unsafe { libc::syscall(libc::SYS_sched_getattr, 0, std::ptr::from_mut(attr), BYTES, 0) == 0 }
}

#[expect(unsafe_code, reason = "a system call that libc has no function for")]
fn set(attr: &SchedAttr) -> bool {
    // SAFETY: the kernel reads `BYTES` bytes of `attr`, which lives until the call returns.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attr), 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_changes_no_policy_and_lowers_no_priority() {
        // A thread of its own: others of this process must stay as they are.
        std::thread::spawn(|| {
            let (mut before, mut after) = (SchedAttr::default(), SchedAttr::default());
            assert!(get(&mut before));
            be_prompt();
            assert!(get(&mut after));
            assert_eq!(after.policy, before.policy);
            assert!(after.nice == before.nice || after.nice == NICE, "{before:?} {after:?}");
            be_prompt();
            let mut again = SchedAttr::default();
            assert!(get(&mut again));
            assert_eq!((again.nice, again.runtime), (after.nice, after.runtime), "asking twice is asking once");
        })
        .join()
        .unwrap();
    }
}
