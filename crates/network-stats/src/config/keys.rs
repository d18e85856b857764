//! Every key that the config file may have, found by asking its shape, is in the commented default and in the reference.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::tests::root;
use super::{built_in, parse, shape};

type Error = serde::de::value::Error;

/// A deserializer that gives each struct all of its fields, and notes their paths.
#[derive(Clone)]
struct Asked<'a> {
    path: String,
    keys: &'a RefCell<BTreeSet<String>>,
}

/// What a visitor says it expects.
struct Wish<'a, V>(&'a V);

impl<'de, V: Visitor<'de>> fmt::Display for Wish<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Expected::fmt(self.0, f)
    }
}

impl<'a> Asked<'a> {
    fn below(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path, keys: self.keys }
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom(format!("{} takes anything: {}", self.path, Wish(&visitor))))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(1)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let wish = Wish(&visitor).to_string();
        visitor.visit_str(if wish.contains("duration") {
            "1s"
        } else if wish.contains("size") {
            "1MB"
        } else {
            "x"
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(One(Some(self)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        for field in fields {
            self.keys.borrow_mut().insert(self.below(field).path);
        }
        visitor.visit_map(All { asked: self, fields, next: 0 })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(First(variants[0]))
    }

    serde::forward_to_deserialize_any! { i8 i16 i32 i64 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple
    tuple_struct map identifier ignored_any }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u8(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u8(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u8(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }
}

/// A list of one.
struct One<'a>(Option<Asked<'a>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|asked| seed.deserialize(asked)).transpose()
    }
}

/// All fields of a struct.
struct All<'a> {
    asked: Asked<'a>,
    fields: &'static [&'static str],
    next: usize,
}

impl<'de> MapAccess<'de> for All<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.get(self.next) else { return Ok(None) };
        seed.deserialize(StrDeserializer::<Error>::new(field)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.next += 1;
        seed.deserialize(self.asked.below(self.fields[self.next - 1]))
    }
}

/// The first word of an enum.
struct First(&'static str);

impl<'de> EnumAccess<'de> for First {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        Ok((seed.deserialize(StrDeserializer::<Error>::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for First {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error::custom("no such enum is in the file"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no such enum is in the file"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no such enum is in the file"))
    }
}

fn all() -> BTreeSet<String> {
    let keys = RefCell::new(BTreeSet::new());
    shape::File::deserialize(Asked { path: String::new(), keys: &keys }).unwrap();
    keys.into_inner()
}

/// The commented default.
fn default_text() -> String {
    std::fs::read_to_string(root().join("config/network-stats.ron")).unwrap()
}

/// Its lines of the form `// key: value,` without their slashes: what it says are the defaults.
fn uncommented(text: &str) -> String {
    let is_setting = |rest: &str| {
        let Some((key, value)) = rest.split_once(": ") else { return false };
        key.chars().all(|c| c.is_ascii_lowercase() || c == '_') && value.ends_with(',')
    };
    let lines = text.lines().map(|line| match line.trim_start().strip_prefix("// ") {
        Some(rest) if is_setting(rest) => rest.to_owned(),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_is_in_the_commented_default_and_in_the_reference() {
    let (text, page) = (default_text(), std::fs::read_to_string(root().join("docs/configuration.md")).unwrap());
    let keys = all();
    assert!(keys.len() > 80 && keys.contains("jobs.active_hours.spans.days"), "{keys:?}");
    let last = |key: &str| key.rsplit('.').next().unwrap().to_owned();
    let missing = |is_there: &dyn Fn(&str) -> bool| -> Vec<String> {
        keys.iter().filter(|key| !is_there(&last(key))).cloned().collect()
    };
    let in_file = |key: &str| {
        let found = text
            .match_indices(&format!("{key}:"))
            .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_'));
        found || key == "host_from"
    };
    assert_eq!(missing(&in_file), Vec::<String>::new(), "not in config/network-stats.ron");
    let in_page = |key: &str| page.match_indices(key).any(|(at, _)| page[..at].ends_with(['`', '.', '(', ' ']));
    assert_eq!(missing(&in_page), Vec::<String>::new(), "not in docs/configuration.md");
}

#[test]
fn what_the_commented_default_says_is_the_default() {
    let text = default_text();
    let said = parse(&root().join("config/network-stats.ron"), uncommented(&text).as_bytes()).unwrap();
    assert_ne!(said.server, built_in().unwrap().server, "the comments were read");
    let server = crate::serve::limits(&said.server.limits);
    assert_eq!(format!("{server:?}"), format!("{:?}", netstats_api::Limits::default()));
    assert!(said.server.allowed_hosts.is_empty() && !said.server.behind_proxy);
    let log = crate::logging::Settings::default();
    assert_eq!((said.log.file_size.unwrap().0, said.log.files), (log.file_bytes, Some(log.files)));
    assert_eq!((said.log.format, said.log_level), (Some(log.format), Some(log.level)));
    assert_eq!(said.policy, netstats_inventory::Policy::default());
}

#[test]
fn the_examples_of_every_key_in_the_commented_default_are_right() {
    let text = default_text();
    // From each line `// (` to the next `// ),`: the entries of the two lists.
    let mut entries = Vec::new();
    let mut lines = text.lines().map(str::trim_start);
    while lines.any(|line| line == "// (") {
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "// ),").collect();
        entries.push(inside.iter().map(|line| line.trim_start_matches("//")).collect::<Vec<_>>().join("\n"));
    }
    let [destination, job] = &entries[..] else { panic!("{entries:?}") };
    let file = format!("(destinations: [({destination})], jobs: [({job})])");
    parse(std::path::Path::new("x.ron"), file.as_bytes()).unwrap_or_else(|problem| panic!("{problem}"));
}
