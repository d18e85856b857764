//! Windows: it has no signals, but a console that tells its programs to stop.

use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::Command;

use windows_sys::Win32::System::Console::{AllocConsole, CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

/// The console tells a group: one of its own, or we would be told, too.
#[expect(unsafe_code, reason = "a console has no safe wrapper in std")]
pub(crate) fn signalled_alone(command: &mut Command) -> &mut Command {
    // SAFETY: takes nothing; where there is a console already it does nothing.
    let _ = unsafe { AllocConsole() };
    command.creation_flags(CREATE_NEW_PROCESS_GROUP)
}

/// Ctrl-Break for `TERM`; the end for `KILL`.
#[expect(unsafe_code, reason = "a console has no safe wrapper in std")]
pub(crate) fn signal(process: u32, name: &str) {
    match name {
        // SAFETY: takes two numbers.
        "TERM" => assert!(unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, process) } != 0, "no console"),
        "KILL" => {
            let done = Command::new("taskkill").args(["/F", "/PID", &process.to_string()]).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
        _ => panic!("there is no {name} on Windows"),
    }
}

/// Access lists are not looked at: the service's installation closes the folder.
pub(crate) fn close_to_others(_: &Path) {}
