//! Finds where in the text of a RON file a value stands, so that a complaint about its meaning can point at it.
//!
//! serde hands values over without their places. Rather than wrap every value, the text is walked a second time, only
//! when there is something to complain about. The text has been parsed before, so the walk may trust its shape; where
//! it does not understand, it points at the nearest place it knows.

/// One step of the way to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    /// A field of a struct.
    Field(&'a str),
    /// An item of a list.
    Item(usize),
}

/// The byte offset of the value at `path` (as `starter.jobs[2].interval`), or of the deepest enclosing value that is
/// there.
pub(crate) fn locate(text: &str, path: &str) -> usize {
    let mut at = Walker { text, at: 0 };
    at.skip_blank();
    let mut found = at.at;
    for step in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let step = step.parse().map_or(Step::Field(step), Step::Item);
        if !at.enter() || !at.seek(step) {
            break;
        }
        found = at.at;
    }
    found
}

struct Walker<'a> {
    text: &'a str,
    at: usize,
}

impl Walker<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    /// Past white space, comments and `#![enable(...)]`.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let mut depth = 0;
                loop {
                    let rest = self.rest();
                    if rest.starts_with("/*") {
                        depth += 1;
                        self.at += 2;
                    } else if rest.starts_with("*/") {
                        depth -= 1;
                        self.at += 2;
                    } else if rest.is_empty() {
                        return;
                    } else {
                        self.bump();
                    }
                    if depth == 0 {
                        break;
                    }
                }
            } else if rest.starts_with("#!") {
                self.at += rest.find(']').map_or(rest.len(), |end| end + 1);
            } else if rest.starts_with(|c: char| c.is_whitespace() || c == '\u{feff}') {
                self.bump();
            } else {
                return;
            }
        }
    }

    /// From the start of a struct or list to its first field or item. `Name(...)` and `Some(...)` count as `(...)`.
    fn enter(&mut self) -> bool {
        let word = self.rest().find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(0);
        let is_some = &self.rest()[..word] == "Some";
        self.at += word;
        self.skip_blank();
        if !matches!(self.peek(), Some('(' | '[' | '{')) {
            return false;
        }
        self.bump();
        self.skip_blank();
        !is_some || self.enter()
    }

    /// From the first field or item to the one wanted.
    fn seek(&mut self, step: Step<'_>) -> bool {
        let mut index = 0;
        loop {
            self.skip_blank();
            if matches!(self.peek(), None | Some(')' | ']' | '}')) {
                return false;
            }
            match step {
                Step::Item(wanted) if wanted == index => return true,
                Step::Item(_) => {}
                Step::Field(wanted) => {
                    let end = self.rest().find([':', ',', ')', '(']).unwrap_or(self.rest().len());
                    if self.rest()[..end].trim_end() == wanted && self.rest()[end..].starts_with(':') {
                        self.at += end + 1;
                        self.skip_blank();
                        return true;
                    }
                }
            }
            self.skip_item();
            index += 1;
        }
    }

    /// Past one field or item and its comma.
    fn skip_item(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.skip_blank();
            match self.peek() {
                None => return,
                Some('"') => self.skip_string(),
                Some('r') if self.rest().starts_with("r\"") || self.rest().starts_with("r#") => self.skip_raw_string(),
                Some('(' | '[' | '{') => {
                    depth += 1;
                    self.bump();
                }
                Some(')' | ']' | '}') => {
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                    self.bump();
                }
                Some(',') if depth == 0 => return self.bump(),
                Some(_) => self.bump(),
            }
        }
    }

    fn skip_string(&mut self) {
        self.bump();
        while let Some(c) = self.peek() {
            self.bump();
            match c {
                '\\' => self.bump(),
                '"' => return,
                _ => {}
            }
        }
    }

    fn skip_raw_string(&mut self) {
        let hashes = self.rest()[1..].chars().take_while(|c| *c == '#').count();
        self.at += 1 + hashes;
        if self.peek() == Some('"') {
            self.bump();
            let end = format!("\"{}", "#".repeat(hashes));
            self.at += self.rest().find(&end).map_or(self.rest().len(), |at| at + end.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r##"// a (comment
Config( /* another, with name: */
    listen: "a:1, [", // trailing ]
    raw: r#"x " , y"#,
    destinations: [
        (name: "one", tags: ["a", "b"]),
        (name: "tw\"o", port: Some(80)),
    ],
    starter: Some((jobs: [(name: "j")])),
)"##;

    fn at(path: &str) -> &'static str {
        TEXT[locate(TEXT, path)..].split(['\n', ',']).next().unwrap()
    }

    #[test]
    fn values_are_found_by_their_path() {
        assert_eq!(at("destinations[1].name"), r#""tw\"o""#);
        assert_eq!(at("destinations[0].tags[1]"), r#""b"])"#);
        assert_eq!(at("destinations[1].port"), "Some(80))");
        assert_eq!(at("starter.jobs[0].name"), r#""j")]))"#);
    }

    #[test]
    fn what_is_not_there_is_pointed_at_by_what_encloses_it() {
        assert_eq!(at("destinations[0].port"), r#"(name: "one""#);
        assert_eq!(at("nothing"), "Config( /* another");
        assert_eq!(at(""), "Config( /* another");
    }

    #[test]
    fn broken_text_is_walked_without_a_panic() {
        for end in (0..TEXT.len()).filter(|end| TEXT.is_char_boundary(*end)) {
            locate(&TEXT[..end], "starter.jobs[3].name");
        }
    }
}
