//! Project chores. `cargo xtask test` is the one test command; `cargo xtask test STEP...` runs some of its steps.

mod dist;
mod fuzz;
mod http;
mod lab;
mod layout;
mod platform;
mod product;
mod soak;
mod step;
mod steps;
mod tools;
mod windows;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test [STEP...]     (cargo xtask steps lists them)
       cargo xtask lab COMMAND        a network of known delay, loss and faults (cargo xtask lab help)
       cargo xtask dist KIND          packages: tar, deb, windows, container (cargo xtask dist help)
       cargo xtask windows COMMAND    build for Windows and run it under Wine (cargo xtask windows help)
       cargo xtask soak [--minutes N] the running product under faults: nothing may grow (cargo xtask soak help)\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"test", names)) => steps::run(names),
        Some((&"lab", words)) => lab::run(words),
        Some((&"dist", words)) => dist::run(words),
        Some((&"windows", words)) => windows::run(words),
        Some((&"soak", words)) => soak::run(words),
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
