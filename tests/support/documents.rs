//! The commands and configurations in the documentation, which tests run.

/// Returns the code block below `<!-- test: NAME -->` in a document.
pub fn block(document: &str, name: &str) -> String {
    let marker = format!("<!-- test: {name} -->\n```");
    assert_eq!(document.matches(&marker).count(), 1, "{marker}");
    let (_, block) = document.split_once(&marker).expect("a marker");
    let (_language, block) = block.split_once('\n').expect("a block");
    block.split_once("\n```").expect("the end of a block").0.to_owned()
}
