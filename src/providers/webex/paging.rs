//! The URL of the next page, as the `Link` header has it (RFC 8288). It is used unchanged, except
//! for two defects that have been seen: a page size that is not a number, and missing filters.

use crate::model::SecretUrl;

/// The maximum of Webex ("List Recordings").
pub(crate) const MAX_PAGE: u32 = 100;

/// A `Link` header that cannot be read. It may name a next page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnreadableLink;

/// Returns the URL that a `Link` header names as the next page, if it names one.
pub(crate) fn next(header: &str) -> Result<Option<String>, UnreadableLink> {
    // Elements of a list may be empty (RFC 9110, 5.6.1).
    const SEPARATORS: [char; 3] = [',', ' ', '\t'];
    let mut rest = header.trim_start_matches(SEPARATORS);
    while !rest.is_empty() {
        let (target, after) =
            rest.strip_prefix('<').and_then(|link| link.split_once('>')).ok_or(UnreadableLink)?;
        let (parameters, others) = split_at_comma(after).ok_or(UnreadableLink)?;
        if parameters.split(';').any(is_next) {
            let target = target.trim();
            return if target.is_empty() {
                Err(UnreadableLink)
            } else {
                Ok(Some(target.to_owned()))
            };
        }
        rest = others.trim_start_matches(SEPARATORS);
    }
    Ok(None)
}

/// Splits at the first comma outside quotes. Returns `None` if a quote is not closed.
fn split_at_comma(text: &str) -> Option<(&str, &str)> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let end = text.find(|character| {
        is_quoted ^= character == '"' && !is_escaped;
        is_escaped = character == '\\' && is_quoted && !is_escaped;
        character == ',' && !is_quoted
    });
    match end {
        Some(at) => Some((text.get(..at)?, text.get(at + 1..)?)),
        None => (!is_quoted).then_some((text, "")),
    }
}

/// Whether a parameter makes its link the next page. A link may have several relations.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel")
        && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
}

/// Replaces a page size that is not a number. Webex has named next pages with `max=null`, and
/// refuses to serve these (webexpythonsdk, `restsession.py`).
pub(crate) fn repaired(page: &SecretUrl, page_size: u32) -> SecretUrl {
    let is_broken =
        |field: &str| field.strip_prefix("max=").is_some_and(|size| size.parse::<u32>().is_err());
    if page.expose().query().unwrap_or_default().split('&').any(is_broken) {
        with_page_size(page, page_size)
    } else {
        page.clone()
    }
}

/// Sets the page size and leaves the rest of the URL unchanged.
pub(crate) fn with_page_size(page: &SecretUrl, page_size: u32) -> SecretUrl {
    let mut url = page.expose().clone();
    let max = format!("max={page_size}");
    let fields = page.expose().query().unwrap_or_default().split('&');
    let others = fields.filter(|field| !field.starts_with("max=") && !field.is_empty());
    let fields: Vec<&str> = std::iter::once(max.as_str()).chain(others).collect();
    url.set_query(Some(&fields.join("&")));
    SecretUrl::new(url)
}

/// A next page that filters by another value than the first one. It belongs to another list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OtherFilter(pub(crate) String);

/// Returns a next page with the parameters of the first page that it lacks. Webex has named next
/// pages without `hostEmail` (webexpythonsdk, issue 168), which list the recordings of the token's
/// owner from there on.
pub(crate) fn with_filters_of(
    first: &SecretUrl,
    next: &SecretUrl,
) -> Result<SecretUrl, OtherFilter> {
    /// The parameters whose value a continuation has no reason to change. Times may be those of the
    /// rest of the list.
    const FIXED: [&str; 4] = ["hostEmail", "meetingId", "siteUrl", "status"];
    let mut lacking = Vec::new();
    for (name, value) in first.expose().query_pairs() {
        match next.expose().query_pairs().find(|(other, _)| *other == name) {
            Some((_, other)) if FIXED.contains(&&*name) && !other.eq_ignore_ascii_case(&value) => {
                return Err(OtherFilter(name.into_owned()));
            }
            Some(_) => {}
            None => lacking.push((name, value)),
        }
    }
    let mut url = next.expose().clone();
    if !lacking.is_empty() {
        url.query_pairs_mut().extend_pairs(lacking);
    }
    Ok(SecretUrl::new(url))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn next_page_is_found_among_other_links() {
        let page = Ok(Some("https://webexapis.com/v1/recordings?cursor=a,b;c&max=100".to_owned()));
        for header in [
            r#"<https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>; rel="next""#,
            r#"<https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>;rel=next"#,
            r#"<https://x/first>; rel="first", <https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>; title="a, b"; REL="NEXT""#,
            r#"<https://x/p>; title="a \", b"; rel="prev", <https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>; rel="next""#,
            r#"<https://x/p>; title="<no>, rel=next"; rel="prev",< https://webexapis.com/v1/recordings?cursor=a,b;c&max=100 >; rel="last next""#,
        ] {
            assert_eq!(next(header), page, "{header}");
        }
        for header in
            ["", " , ", "<https://x>", r#"<https://x>; rel="prev","#, r#"<x>; rel="nextish""#, "<>"]
        {
            assert_eq!(next(header), Ok(None), "{header}");
        }
    }

    #[test]
    fn unreadable_header_is_not_the_last_page() {
        for header in [
            "<",
            "<https://x",
            r#"<https://x; rel="next""#,
            r#"https://x; rel="next""#,
            r#"<>; rel="next""#,
            "rel=next",
            r#"<https://x>; rel="prev", junk"#,
            r#"<https://x>; title="open, <https://y>; rel="next""#,
        ] {
            assert_eq!(next(header), Err(UnreadableLink), "{header}");
        }
    }

    fn page(text: &str) -> SecretUrl {
        SecretUrl::new(Url::parse(text).unwrap())
    }

    #[test]
    fn broken_page_size_is_replaced() {
        let with = |text| repaired(&page(text), 100).expose().to_string();
        assert_eq!(
            with("https://x.org/r?max=null&cursor=a%2Bb"),
            "https://x.org/r?max=100&cursor=a%2Bb"
        );
        assert_eq!(
            with("https://x.org/r?cursor=a%2Bb&max="),
            "https://x.org/r?max=100&cursor=a%2Bb"
        );
        for untouched in
            ["https://x.org/r?cursor=a+b&max=50", "https://x.org/r?cursor=a", "https://x.org/r"]
        {
            assert_eq!(with(untouched), untouched);
        }
        let fewer =
            with_page_size(&page("https://x.org/r?from=2026-10-01T00%3A00%3A00Z&max=100"), 25);
        assert_eq!(fewer.expose().as_str(), "https://x.org/r?max=25&from=2026-10-01T00%3A00%3A00Z");
    }

    #[test]
    fn next_page_keeps_the_filters_of_the_first() {
        let first =
            "https://x.org/r?max=100&from=2026-10-01&hostEmail=ana%40example.org&status=deleted";
        let with = |next: &str| {
            with_filters_of(&page(first), &page(next)).map(|url| url.expose().to_string())
        };
        let whole = "https://x.org/r?hostEmail=Ana@example.org&max=50&from=2026-10-09&status=deleted&cursor=a%2Bb";
        assert_eq!(with(whole).as_deref(), Ok(whole));
        assert_eq!(
            with("https://x.org/r?max=100&cursor=a%2Bb").as_deref(),
            Ok(
                "https://x.org/r?max=100&cursor=a%2Bb&from=2026-10-01&hostEmail=ana%40example.org&status=deleted"
            )
        );
        assert_eq!(
            with("https://x.org/r?hostEmail=bo@example.org"),
            Err(OtherFilter("hostEmail".into()))
        );
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic(header in ".{0,80}") {
            if let Ok(Some(url)) = next(&header) {
                assert!(!url.is_empty());
            }
        }
    }
}
