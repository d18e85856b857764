//! Looks at packages that cannot be installed here: the archive, the container's folder, the service of macOS.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{COMPLETIONS, VERSION, call, fresh, said};
use crate::step::Step;
use crate::tools;

/// Unpacked, the archive has a program that runs, completions that their shells can read, and manual pages.
pub(super) fn tarball(step: &mut Step, archive: &Path) -> Result<()> {
    let place = fresh("unpacked")?;
    let (archive, into) = (archive.to_string_lossy(), place.to_string_lossy());
    call("tar", &["-xzf", &archive, "-C", &into], &place)?;
    let top = fs::read_dir(&place)?.next().context("the archive is empty")??.path();
    let program = top.join("network-stats");
    let version = said(&[&program.to_string_lossy(), "--version"])?;
    if !version.contains(VERSION) {
        bail!("the program in the archive says {version:?}");
    }
    for file in ["LICENSE", "README.md", "packaging/network-stats.service", "packaging/net.network-stats.plist"] {
        if !top.join(file).is_file() {
            bail!("the archive has no {file}");
        }
    }
    for (shell, file) in COMPLETIONS {
        let file = top.join("completions").join(file);
        let text = fs::read_to_string(&file).with_context(|| format!("no completions for {shell}"))?;
        if !text.contains("doctor") {
            bail!("{} does not know the command doctor", file.display());
        }
        match (shell, tools::has(shell)) {
            // No Debian package has it.
            ("powershell", _) => {}
            (_, true) => drop(said(&[shell, "-n", &file.to_string_lossy()])?),
            (_, false) => step.skip(format!("completions as {shell} reads them: {shell} is missing")),
        }
    }
    pages(&top.join("man"))
}

/// Every page begins as a manual page and has a name and a synopsis.
fn pages(folder: &Path) -> Result<()> {
    let mut count = 0;
    for page in fs::read_dir(folder)? {
        let page = page?.path();
        let text = fs::read_to_string(&page)?;
        if let Some(missing) = [".TH ", ".SH NAME", ".SH SYNOPSIS"].iter().find(|part| !text.contains(**part)) {
            bail!("{} has no {missing:?}", page.display());
        }
        count += 1;
    }
    if count < 10 { bail!("{count} manual pages are too few") } else { Ok(()) }
}

/// What the container's file copies is in its folder, and what it starts was copied; it is no administrator's, and says
/// how it is.
pub(super) fn image(folder: &Path) -> Result<()> {
    let text = fs::read_to_string(folder.join("Containerfile"))?;
    let lines = instructions(&text);
    let of = |name: &'static str| lines.iter().filter(move |(key, _)| key == name).map(|(_, words)| words.as_str());
    let only = |name: &'static str| of(name).next_back().with_context(|| format!("the container's file has no {name}"));
    let mut placed = Vec::new();
    for copy in of("COPY") {
        let words: Vec<&str> = copy.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        let [source, target] = words[..] else { bail!("COPY {copy}: one source, one target") };
        if !folder.join(source).exists() {
            bail!("COPY {copy}: {source} is not in {}", folder.display());
        }
        placed.push(target);
    }
    let check = only("HEALTHCHECK")?.split_once("CMD").context("HEALTHCHECK without CMD")?.1;
    for line in [only("ENTRYPOINT")?, check] {
        // There is no shell in the image: the words are a list.
        let words: Vec<String> = serde_json::from_str(line.trim()).with_context(|| format!("{line} is no list"))?;
        if !words.first().is_some_and(|program| placed.contains(&program.as_str())) {
            bail!("{line}: nothing is copied there");
        }
    }
    let data = only("ENV")?.strip_prefix("NETWORK_STATS_DATA_DIR=").context("ENV does not say where data is")?;
    if !placed.contains(&data) || only("VOLUME")? != data {
        bail!("{data} is no volume that was made");
    }
    let (base, user) = (only("FROM")?, only("USER")?);
    if !base.contains("distroless") || ["root", "0"].contains(&user.split(':').next().unwrap_or_default()) {
        bail!("the image is {base}, run by {user}");
    }
    Ok(())
}

/// Name and rest of each instruction.
fn instructions(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(key, rest)| (key.to_owned(), rest.trim().to_owned())).collect()
}

/// launchd could read it: a property list whose label is the file's name, and a program by its whole path.
pub(super) fn plist(step: &mut Step, file: &Path) -> Result<()> {
    const READ: &str = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    if !tools::has("python3") {
        step.skip("the service of macOS is read by python3, which is missing");
        return Ok(());
    }
    let list: Value = serde_json::from_str(&said(&["python3", "-c", READ, &file.to_string_lossy()])?)?;
    let words: Vec<&str> =
        list["ProgramArguments"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_named = list["Label"].as_str() == file.file_stem().and_then(|name| name.to_str());
    let is_started = matches!(words[..], [program, "serve", ..] if program.starts_with('/'));
    if is_named && is_started && list["RunAtLoad"] == true && list["KeepAlive"]["SuccessfulExit"] == false {
        return Ok(());
    }
    bail!("{} is not what launchd wants: {list}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# one\nFROM distroless/cc\nCOPY --chown=1 program /bin/program\nCOPY data /data\nUSER nonroot\n\
                        VOLUME /data\nENV NETWORK_STATS_DATA_DIR=/data\n\
                        HEALTHCHECK --interval=1s CMD [\"/bin/program\", \"health\"]\nENTRYPOINT [\"/bin/program\"]\n";

    #[test]
    fn an_image_without_its_files_or_of_an_administrator_is_refused() {
        let folder = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(folder.join("program"), "").unwrap();
        let look = |text: &str| {
            fs::write(folder.join("Containerfile"), text).unwrap();
            image(&folder).map_err(|error| error.to_string())
        };
        assert_eq!(look(FILE), Ok(()));
        for (from, to, said) in [
            ("COPY data", "COPY date", "is not in"),
            ("USER nonroot", "USER root", "run by root"),
            ("ENTRYPOINT [\"/bin/program\"]", "ENTRYPOINT [\"/bin/sh\"]", "nothing is copied there"),
            ("ENTRYPOINT [\"/bin/program\"]", "ENTRYPOINT /bin/program", "is no list"),
            ("HEALTHCHECK --interval=1s CMD [\"/bin/program\", \"health\"]\n", "", "has no HEALTHCHECK"),
            ("VOLUME /data", "VOLUME /date", "is no volume"),
        ] {
            let why = look(&FILE.replace(from, to)).unwrap_err();
            assert!(why.contains(said), "{to}: {why}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
