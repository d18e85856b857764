//! The exports folder: nothing is written or read outside of it, and nothing half is left in it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use netstats_event::ExportId;
use tempfile::TempPath;

/// How deep the folder is looked through for what was left half done.
const MOST_DEEP: usize = 8;
/// Files of one name, as told apart by `-2`, `-3`, ...
const MOST_OF_ONE_NAME: u32 = 10_000;
/// How often a folder is made again that somebody else's tidying took away.
const TRIES: usize = 8;
const PART: &str = ".part";
const OWN_FOLDER: &str = "export-";

/// The exports folder.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    root: PathBuf,
}

/// A file in the making. What is not kept is removed, with the folders that were made for it.
#[derive(Debug)]
pub(crate) struct Part {
    path: Option<TempPath>,
    folder: PathBuf,
    /// Folders that were not there before, the innermost first.
    made: Vec<PathBuf>,
    name: String,
    out: Option<BufWriter<File>>,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// A file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Inside the exports folder, with `/` between folders.
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) digest: [u8; 32],
}

impl Place {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Removes what a process that was killed left half done.
    pub(crate) fn sweep(&self) {
        let _ = sweep(&self.root, MOST_DEEP);
    }

    /// Begins a file in a folder inside.
    ///
    /// # Errors
    /// The folder leads outside, or cannot be written.
    pub(crate) fn begin(&self, folder: &str, name: &str) -> io::Result<Part> {
        let inside = self.inside(folder)?;
        // Two files of one name may be under way at once.
        static BEGUN: AtomicU64 = AtomicU64::new(0);
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let part = format!(".{name}.{}-{number}{PART}", std::process::id());
        let mut made = Vec::new();
        let mut tries = 1..=TRIES;
        let (real, path, out) = loop {
            made.extend(inside.ancestors().take_while(|it| *it != self.root && !it.exists()).map(Path::to_owned));
            fs::create_dir_all(&inside).map_err(|error| named(&inside, &error))?;
            let opened = self.real(&inside).and_then(|real| {
                let path = real.join(&part);
                File::options().write(true).create_new(true).open(&path).map(|out| (real, path, out))
            });
            match opened {
                Ok(opened) => break opened,
                // Another file was given up just now, and took the folder with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries.next().is_some() => {}
                Err(error) => return Err(named(&inside.join(&part), &error)),
            }
        };
        Ok(Part {
            path: Some(TempPath::try_from_path(path)?),
            folder: real,
            made,
            name: name.to_owned(),
            out: Some(BufWriter::with_capacity(256 * 1024, out)),
            hasher: blake3::Hasher::new(),
            bytes: 0,
        })
    }

    /// Opens a file inside.
    ///
    /// # Errors
    /// It is not there, or leads outside.
    pub(crate) fn open(&self, file: &str) -> io::Result<File> {
        File::open(self.real(&self.inside(file)?)?)
    }

    /// True if the file is there.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.inside(file).is_ok_and(|path| path.is_file())
    }

    /// Removes a file inside; it may be gone already.
    pub(crate) fn remove(&self, file: &str) -> io::Result<()> {
        match self.inside(file).and_then(|path| self.real(&path)).and_then(fs::remove_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn inside(&self, path: &str) -> io::Result<PathBuf> {
        let is_plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{path} is not inside the exports folder"),
            ));
        }
        Ok(self.root.join(path))
    }

    /// The path with links followed; it must not lead outside.
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let (root, real) = (fs::canonicalize(&self.root)?, fs::canonicalize(path)?);
        if real.starts_with(&root) {
            return Ok(real);
        }
        let message = format!("{} leads out of the exports folder", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// The path as the ledger names it.
    fn name_of(&self, path: &Path) -> io::Result<String> {
        let root = fs::canonicalize(&self.root)?;
        let inside = path.strip_prefix(&root).map_err(io::Error::other)?;
        let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        Ok(parts.join("/"))
    }

    /// Puts a whole file in its place, in one step: its name is there with all of it, or not at all. A file that is
    /// there already is not written over.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) fn keep(&self, mut part: Part) -> io::Result<Whole> {
        let kept = || io::Error::other("the file is kept already");
        let out = part.out.take().ok_or_else(kept)?;
        reached("written");
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        reached("synced");
        let (stem, ending) = part.name.rsplit_once('.').unwrap_or((&part.name, ""));
        for number in 1..=MOST_OF_ONE_NAME {
            let count = if number == 1 { String::new() } else { format!("-{number}") };
            let path = part.folder.join(format!("{stem}{count}.{ending}"));
            match part.path.take().ok_or_else(kept)?.persist_noclobber(&path) {
                Ok(()) => {
                    reached("named");
                    part.made.clear();
                    // A renamed file survives a power cut only if its folder does.
                    let _ = netstats_log::sync_folder(&part.folder);
                    let digest = *part.hasher.finalize().as_bytes();
                    return Ok(Whole { file: self.name_of(&path)?, bytes: part.bytes, digest });
                }
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => part.path = Some(error.path),
                Err(error) => return Err(named(&path, &error.error)),
            }
        }
        Err(io::Error::other(format!("there are {MOST_OF_ONE_NAME} files of the name {} already", part.name)))
    }
}

/// A step of keeping a file is done: a test may end the process here.
#[cfg(not(test))]
const fn reached(_step: &str) {}
#[cfg(test)]
use tests::reached;

/// The folder of an export that names none: by its number, since names change.
pub(crate) fn own_folder(export: ExportId) -> String {
    format!("{OWN_FOLDER}{export}")
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(out) = &mut self.out else { return Err(io::Error::other("the file is kept already")) };
        let written = out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // The file is closed before it is removed: some systems refuse otherwise.
        drop(self.out.take());
        drop(self.path.take());
        for folder in &self.made {
            // One that holds something else stays.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Removes the files in the making, and the folders that are empty without them.
fn sweep(folder: &Path, deep: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut is_changed = false;
    for entry in entries.filter_map(Result::ok) {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && deep > 0 {
            let own = name.strip_prefix(OWN_FOLDER).is_some_and(|id| id.parse::<u32>().is_ok());
            if sweep(&entry.path(), deep - 1) || own {
                is_changed |= fs::remove_dir(entry.path()).is_ok();
            }
        } else if kind.is_file() && name.starts_with(".network-stats-") && name.ends_with(PART) {
            is_changed |= fs::remove_file(entry.path()).is_ok();
        }
    }
    is_changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_of_one_name_may_be_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().to_owned());
        let (mut one, mut two) = (place.begin("a", "x.csv").unwrap(), place.begin("a", "x.csv").unwrap());
        one.write_all(b"1").unwrap();
        two.write_all(b"22").unwrap();
        let kept = [place.keep(two).unwrap(), place.keep(one).unwrap()];
        assert_eq!(kept.each_ref().map(|whole| (whole.file.as_str(), whole.bytes)), [("a/x.csv", 2), ("a/x-2.csv", 1)]);
    }

    #[test]
    fn a_file_is_there_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("exports"));
        let all = || walk(folder.path());
        let mut part = place.begin("monthly/office", "network-stats-a.csv").unwrap();
        part.write_all(b"half").unwrap();
        assert_eq!(all().len(), 1);
        drop(part);
        assert_eq!(all(), [] as [String; 0]);
        assert_eq!(fs::read_dir(folder.path().join("exports")).unwrap().count(), 0, "the folders made for it go too");
        for (number, file) in
            ["monthly/network-stats-a.csv", "monthly/network-stats-a-2.csv", "monthly/network-stats-a-3.csv"]
                .into_iter()
                .enumerate()
        {
            let mut part = place.begin("monthly", "network-stats-a.csv").unwrap();
            part.write_all(&[b'x'; 3][..number]).unwrap();
            let whole = place.keep(part).unwrap();
            assert_eq!((whole.file.as_str(), whole.bytes), (file, number as u64));
            assert_eq!(whole.digest, *blake3::hash(&b"xxx"[..number]).as_bytes());
        }
        place.remove("monthly/network-stats-a.csv").unwrap();
        place.remove("monthly/network-stats-a.csv").unwrap();
        assert!(!place.has("monthly/network-stats-a.csv") && place.has("monthly/network-stats-a-2.csv"));
    }

    #[test]
    fn what_a_kill_left_half_done_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().to_owned());
        std::mem::forget(place.begin("a/b", "network-stats-x.xlsx").unwrap());
        fs::write(folder.path().join("a/theirs.part"), "").unwrap();
        for empty in ["theirs", "export-7", "export-me"] {
            fs::create_dir(folder.path().join(empty)).unwrap();
        }
        place.sweep();
        assert_eq!(walk(folder.path()), ["theirs.part"]);
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a", "export-me", "theirs"]);
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_given_up_takes_only_its_own_folders_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().to_owned());
        fs::create_dir(folder.path().join("office")).unwrap();
        let (one, two) = (place.begin("office/a/b", "x.csv").unwrap(), place.begin("office/a", "y.csv").unwrap());
        drop(one);
        assert!(folder.path().join("office/a").is_dir() && !folder.path().join("office/a/b").exists());
        // Made for the first, empty only now: whoever goes last leaves what was there before.
        let three = place.begin("office/c", "z.csv").unwrap();
        drop((two, three));
        assert!(folder.path().join("office").is_dir() && !folder.path().join("office/c").exists());
    }

    const DIE_IN: &str = "NETSTATS_TEST_DIE_IN";
    const DIE_AT: &str = "NETSTATS_TEST_DIE_AT";

    pub(super) fn reached(step: &str) {
        if std::env::var(DIE_AT).is_ok_and(|at| at == step) {
            std::process::abort();
        }
    }

    /// The child of the next test.
    #[test]
    #[ignore = "it ends its process"]
    fn a_process_that_makes_a_file_and_dies() {
        let Ok(folder) = std::env::var(DIE_IN) else { return };
        let place = Place::new(PathBuf::from(folder));
        let mut part = place.begin("a", "network-stats-x.csv").unwrap();
        part.write_all(b"all of it").unwrap();
        reached("begun");
        place.keep(part).unwrap();
    }

    #[test]
    fn whoever_dies_while_a_file_is_made_leaves_all_of_it_under_its_name_or_nothing() {
        for (step, is_there) in [("begun", false), ("written", false), ("synced", false), ("named", true)] {
            let folder = tempfile::tempdir().unwrap();
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "exports::place::tests::a_process_that_makes_a_file_and_dies"])
                .env(DIE_IN, folder.path())
                .env(DIE_AT, step)
                .output()
                .unwrap();
            assert!(!child.status.success(), "it did not die when it was {step}");
            let file = folder.path().join("a/network-stats-x.csv");
            assert_eq!(file.exists(), is_there, "{step}: {:?}", walk(folder.path()));
            Place::new(folder.path().to_owned()).sweep();
            if is_there {
                assert_eq!(fs::read(&file).unwrap(), b"all of it");
            }
            assert_eq!(walk(folder.path()).len(), usize::from(is_there), "{step}: {:?}", walk(folder.path()));
        }
    }

    #[test]
    fn nothing_leads_outside() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("exports"));
        for bad in ["..", "../x", "/etc", "a/../../x"] {
            assert!(place.begin(bad, "network-stats.csv").is_err(), "{bad}");
            assert!(place.open(bad).is_err(), "{bad}");
        }
        fs::write(folder.path().join("secret"), "s").unwrap();
        assert!(place.remove("../secret").is_err() && folder.path().join("secret").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("exports"), folder.path().join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let place = Place::new(root);
        let error = place.begin("link", "network-stats.csv").unwrap_err();
        assert!(error.to_string().contains("leads out"), "{error}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    /// Names of all files below.
    fn walk(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).unwrap().filter_map(Result::ok) {
            if entry.path().is_dir() {
                names.extend(walk(&entry.path()));
            } else {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        names
    }
}
