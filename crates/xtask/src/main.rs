//! Project chores. `cargo xtask test` is the one test command; `cargo xtask test STEP...` runs some of its steps.

mod lab;
mod layout;
mod platform;
mod step;
mod steps;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test [STEP...]     (cargo xtask steps lists them)
       cargo xtask lab COMMAND        a network of known delay, loss and faults (cargo xtask lab help)\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"test", names)) => steps::run(names),
        Some((&"lab", words)) => lab::run(words),
        Some((&"steps", [])) => {
            steps::STEPS.iter().for_each(|(name, about, _)| step::say(&format!("{name:10} {about}")));
            ExitCode::SUCCESS
        }
        _ => {
            step::say(USAGE);
            ExitCode::from(2)
        }
    }
}
