//! Checks the fields of a reply: names, types, date formats, and which fields are always present.
//!
//! A table of fields must match the replies in both directions. A field that is not in the table is
//! an error of the reply, and a field that no reply contained is an error of the table.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::Value;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    name: &'static str,
    kind: Kind,
    /// Whether the field is always present.
    is_always_present: bool,
    /// Whether the field can be null.
    is_nullable: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// Text that is not empty.
    Name,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    Count,
    /// An unsigned integer, as a number or as text.
    CountOrText,
    /// An unsigned integer as text.
    CountAsText,
    Flag,
    /// A day such as `2026-10-06`.
    Day,
    /// A time of day such as `07:00:00`.
    TimeOfDay,
    /// A time in UTC such as `2026-10-06T07:00:11Z`.
    Moment,
    /// A UTC time or empty text.
    MomentOrEmpty,
    /// An absolute URL.
    Url,
    /// An absolute URL or empty text.
    UrlOrEmpty,
    ListOf(&'static [Field]),
    Texts,
    Object(&'static [Field]),
    /// An object, or a list of at least two objects.
    OneOrMore(&'static [Field]),
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_always_present: true, is_nullable: false }
}

/// A field that some replies omit.
pub(crate) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_always_present: false, is_nullable: false }
}

impl Field {
    pub(crate) const fn or_null(mut self) -> Self {
        self.is_nullable = true;
        self
    }
}

/// The fields in the replies so far, and the errors.
#[derive(Debug, Default)]
pub(crate) struct ReplyChecker {
    /// The paths of fields that replies contained, and of fields that some replies omitted.
    present: BTreeSet<String>,
    missing: BTreeSet<String>,
    pub(crate) errors: Vec<String>,
}

impl ReplyChecker {
    /// Checks one reply.
    pub(crate) fn check_reply(&mut self, value: &Value, fields: &'static [Field]) {
        self.check_object(value, fields, "");
    }

    /// Panics unless every reply was correct, and every field of the table was present at least
    /// once and, if it is optional, absent at least once.
    pub(crate) fn assert_complete(mut self, fields: &'static [Field]) {
        self.check_table(fields, "");
        assert!(self.errors.is_empty(), "{:#?}", self.errors);
    }

    fn check_table(&mut self, fields: &'static [Field], path: &str) {
        for field in fields {
            let path = format!("{path}/{}", field.name);
            if !self.present.contains(&path) {
                self.errors.push(format!("{path}: in no reply"));
            } else if !field.is_always_present && !self.missing.contains(&path) {
                self.errors.push(format!("{path}: in every reply"));
            }
            if let Kind::ListOf(inner) | Kind::Object(inner) | Kind::OneOrMore(inner) = field.kind {
                self.check_table(inner, &path);
            }
        }
    }

    fn check_object(&mut self, value: &Value, fields: &'static [Field], path: &str) {
        let Some(object) = value.as_object() else {
            return self.errors.push(format!("{path}: not an object: {value}"));
        };
        for name in
            object.keys().filter(|name| fields.iter().all(|field| field.name != name.as_str()))
        {
            self.errors.push(format!("{path}/{name}: no such field"));
        }
        for field in fields {
            let path = format!("{path}/{}", field.name);
            match object.get(field.name) {
                None if field.is_always_present => self.errors.push(format!("{path}: missing")),
                None => {
                    self.missing.insert(path);
                }
                Some(Value::Null) if field.is_nullable => {}
                Some(value) => {
                    self.present.insert(path.clone());
                    self.check_value(value, field.kind, &path);
                }
            }
        }
    }

    fn check_value(&mut self, value: &Value, kind: Kind, path: &str) {
        let text = value.as_str();
        let is_number =
            |text: &str| text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
        let is_moment = |text: &str| text.ends_with('Z') && text.parse::<Timestamp>().is_ok();
        let is_url = |text: &str| url::Url::parse(text).is_ok_and(|url| url.has_host());
        let fits = match kind {
            Kind::Text => text.is_some(),
            Kind::Name => text.is_some_and(|text| !text.is_empty()),
            Kind::OneOf(words) => text.is_some_and(|text| words.contains(&text)),
            Kind::Count => value.is_u64(),
            Kind::CountOrText => value.is_u64() || text.is_some_and(is_number),
            Kind::CountAsText => text.is_some_and(is_number),
            Kind::Flag => value.is_boolean(),
            Kind::Day => text.is_some_and(|text| text.len() == 10 && text.parse::<Date>().is_ok()),
            Kind::TimeOfDay => {
                text.is_some_and(|text| text.len() == 8 && text.parse::<Time>().is_ok())
            }
            Kind::Moment => text.is_some_and(is_moment),
            Kind::MomentOrEmpty => text.is_some_and(|text| text.is_empty() || is_moment(text)),
            Kind::Url => text.is_some_and(is_url),
            Kind::UrlOrEmpty => text.is_some_and(|text| text.is_empty() || is_url(text)),
            Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            Kind::Object(fields) => return self.check_object(value, fields, path),
            Kind::ListOf(fields) => match value.as_array() {
                Some(items) => {
                    return items.iter().for_each(|item| self.check_object(item, fields, path));
                }
                None => false,
            },
            Kind::OneOrMore(fields) => match value.as_array() {
                Some(items) if items.len() > 1 => {
                    return items.iter().for_each(|item| self.check_object(item, fields, path));
                }
                Some(_) => false,
                None => return self.check_object(value, fields, path),
            },
        };
        if !fits {
            self.errors.push(format!("{path}: {value} is not {kind:?}"));
        }
    }
}
