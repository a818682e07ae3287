//! Tests of stored sizes, details and last replies.

use super::fixtures::{acme, file, last_reply};
use crate::catalog::database::CatalogDatabase;
use crate::catalog::database::enrichment::SizeRow;
use crate::model::{Details, SourceName, Version};

#[test]
fn sizes_and_details_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let metadata = [("participants_count".to_owned(), 7.into())].into_iter().collect();
    let details = Details { metadata, ..Details::default() };
    {
        let database = CatalogDatabase::open(directory.path()).unwrap();
        database.save_size(&file("a"), Version(u64::MAX), 1 << 40);
        database.save_size(&file("a"), Version(3), 42);
        database.save_details(&acme(), &"m/1==".into(), Some(&details));
        database.save_details(&acme(), &"old".into(), None);
    }
    let database = CatalogDatabase::open(directory.path()).unwrap();
    let expected =
        SizeRow { meeting: "m/1==".into(), file: "a".into(), version: Version(3), size: 42 };
    assert_eq!(database.load_sizes(&acme()).unwrap(), [expected]);
    let expected = [("m/1==".into(), Some(details)), ("old".into(), None)];
    assert_eq!(database.load_details(&acme()).unwrap(), expected);
    assert_eq!(database.load_sizes(&SourceName::new("other").unwrap()).unwrap(), []);
}

#[test]
fn damaged_rows_do_not_affect_intact_rows() {
    let database = CatalogDatabase::in_memory().unwrap();
    database.save_size(&file("a"), Version(3), 42);
    database.save_reply(&file("a"), Version(3), &last_reply());
    database.save_details(&acme(), &"m/1==".into(), Some(&Details::default()));
    database.save_details(&acme(), &"old".into(), None);
    for rows in [
        "INSERT INTO file_size VALUES ('acme', 'm', 'x', x'00', 1), ('acme', 'm', 'y', zeroblob(8), -1), ('acme', 'm', 'z', zeroblob(8), 'long'), ('acme', x'ff', 'a', zeroblob(8), 1)",
        "INSERT INTO meeting_details VALUES ('acme', 'm', '{\"facts\": 3'), ('acme', 'n', x'ff'), ('acme', x'fe', NULL)",
        "INSERT INTO last_reply VALUES ('acme', 'm', 'x', x'00', 1, 'v'), ('acme', 'm', 'y', zeroblob(8), 1, x'ff'), ('acme', 'm', 'z', zeroblob(8), -1, 'v')",
    ] {
        database.execute(rows);
    }
    for _ in 0..2 {
        let sizes = database.load_sizes(&acme()).unwrap();
        assert_eq!((sizes.len(), sizes[0].size), (1, 42));
        let expected = [("m/1==".into(), Some(Details::default())), ("old".into(), None)];
        let details = database.load_details(&acme()).unwrap();
        assert_eq!(details, expected, "damaged details do not mean that there are none");
        let expected = (("m/1==".into(), "a".into()), (Version(3), last_reply()));
        assert_eq!(database.load_replies(&acme()).unwrap(), [expected]);
    }
    let count = |table: &str| database.query::<i64>(&format!("SELECT count(*) FROM {table}"))[0];
    let row_counts = ["file_size", "meeting_details", "last_reply"].map(count);
    assert_eq!(row_counts, [1, 2, 1]);
}
