//! Parses and repairs the URL of the next page in the `Link` header (RFC 8288). The URL is used
//! unchanged, except for two known defects: a page size that is not a number, and missing filters.

use crate::model::SecretUrl;

/// Maximum number of entries on a page that Webex accepts ("List Recordings").
pub(crate) const MAX_PAGE_SIZE: u32 = 100;

/// The error of a `Link` header that cannot be parsed. The header may contain a next page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnreadableLink;

/// Returns the URL of the next page in a `Link` header, if there is one.
pub(crate) fn next_url(header: &str) -> Result<Option<String>, UnreadableLink> {
    // Elements of a list may be empty (RFC 9110, 5.6.1).
    const SEPARATORS: [char; 3] = [',', ' ', '\t'];
    let mut remaining = header.trim_start_matches(SEPARATORS);
    while !remaining.is_empty() {
        let (target, parameters_and_links) = remaining
            .strip_prefix('<')
            .and_then(|link| link.split_once('>'))
            .ok_or(UnreadableLink)?;
        let (parameters, other_links) =
            split_at_comma(parameters_and_links).ok_or(UnreadableLink)?;
        if parameters.split(';').any(is_next) {
            let target = target.trim();
            return if target.is_empty() {
                Err(UnreadableLink)
            } else {
                Ok(Some(target.to_owned()))
            };
        }
        remaining = other_links.trim_start_matches(SEPARATORS);
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
        Some(index) => Some((text.get(..index)?, text.get(index + 1..)?)),
        None => (!is_quoted).then_some((text, "")),
    }
}

/// Whether a parameter of a link marks the link as the next page. The value of `rel` may list
/// several relations.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel")
        && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
}

/// Replaces a page size that is not a number. Webex has returned URLs with `max=null` and then
/// refused them (webexpythonsdk, `restsession.py`).
pub(crate) fn with_valid_page_size(page: &SecretUrl, page_size: u32) -> SecretUrl {
    let is_invalid =
        |field: &str| field.strip_prefix("max=").is_some_and(|size| size.parse::<u32>().is_err());
    if page.expose().query().unwrap_or_default().split('&').any(is_invalid) {
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
    let other_fields = fields.filter(|field| !field.starts_with("max=") && !field.is_empty());
    let fields: Vec<&str> = std::iter::once(max.as_str()).chain(other_fields).collect();
    url.set_query(Some(&fields.join("&")));
    SecretUrl::new(url)
}

/// The error of a next page with another filter than the first page. Such a page belongs to another
/// list. Contains the name of the query parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DifferentFilter(pub(crate) String);

/// Adds the query parameters of the first page that the URL of the next page lacks. Webex has
/// returned URLs without `hostEmail` (webexpythonsdk, issue 168). Such a page and all that follow
/// list the recordings of the token's owner.
pub(crate) fn with_filters_of(
    first_page_url: &SecretUrl,
    next_page_url: &SecretUrl,
) -> Result<SecretUrl, DifferentFilter> {
    /// The query parameters that must be equal on all pages. `from` and `to` may differ, because a
    /// next page may request only the remaining time span.
    const FIXED_FILTERS: [&str; 4] = ["hostEmail", "meetingId", "siteUrl", "status"];
    let mut missing_parameters = Vec::new();
    for (name, value) in first_page_url.expose().query_pairs() {
        match next_page_url.expose().query_pairs().find(|(other, _)| *other == name) {
            Some((_, other))
                if FIXED_FILTERS.contains(&&*name) && !other.eq_ignore_ascii_case(&value) =>
            {
                return Err(DifferentFilter(name.into_owned()));
            }
            Some(_) => {}
            None => missing_parameters.push((name, value)),
        }
    }
    let mut url = next_page_url.expose().clone();
    if !missing_parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(missing_parameters);
    }
    Ok(SecretUrl::new(url))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn next_page_is_found_among_all_links() {
        let page = Ok(Some("https://webexapis.com/v1/recordings?cursor=a,b;c&max=100".to_owned()));
        for header in [
            r#"<https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>; rel="next""#,
            r#"<https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>;rel=next"#,
            r#"<https://x/first>; rel="first", <https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>; title="a, b"; REL="NEXT""#,
            r#"<https://x/p>; title="a \", b"; rel="prev", <https://webexapis.com/v1/recordings?cursor=a,b;c&max=100>; rel="next""#,
            r#"<https://x/p>; title="<no>, rel=next"; rel="prev",< https://webexapis.com/v1/recordings?cursor=a,b;c&max=100 >; rel="last next""#,
        ] {
            assert_eq!(next_url(header), page, "{header}");
        }
        for header in
            ["", " , ", "<https://x>", r#"<https://x>; rel="prev","#, r#"<x>; rel="nextish""#, "<>"]
        {
            assert_eq!(next_url(header), Ok(None), "{header}");
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
            assert_eq!(next_url(header), Err(UnreadableLink), "{header}");
        }
    }

    fn page(text: &str) -> SecretUrl {
        SecretUrl::new(Url::parse(text).unwrap())
    }

    #[test]
    fn invalid_page_size_is_replaced() {
        let repair = |text| with_valid_page_size(&page(text), 100).expose().to_string();
        assert_eq!(
            repair("https://x.org/r?max=null&cursor=a%2Bb"),
            "https://x.org/r?max=100&cursor=a%2Bb"
        );
        assert_eq!(
            repair("https://x.org/r?cursor=a%2Bb&max="),
            "https://x.org/r?max=100&cursor=a%2Bb"
        );
        for valid_url in
            ["https://x.org/r?cursor=a+b&max=50", "https://x.org/r?cursor=a", "https://x.org/r"]
        {
            assert_eq!(repair(valid_url), valid_url);
        }
        let smaller_page =
            with_page_size(&page("https://x.org/r?from=2026-10-01T00%3A00%3A00Z&max=100"), 25);
        assert_eq!(
            smaller_page.expose().as_str(),
            "https://x.org/r?max=25&from=2026-10-01T00%3A00%3A00Z"
        );
    }

    #[test]
    fn next_page_keeps_the_filters_of_the_first() {
        let first_page_url =
            "https://x.org/r?max=100&from=2026-10-01&hostEmail=ana%40example.org&status=deleted";
        let add_filters = |next_url: &str| {
            with_filters_of(&page(first_page_url), &page(next_url))
                .map(|url| url.expose().to_string())
        };
        let complete_url = "https://x.org/r?hostEmail=Ana@example.org&max=50&from=2026-10-09&status=deleted&cursor=a%2Bb";
        assert_eq!(add_filters(complete_url).as_deref(), Ok(complete_url));
        assert_eq!(
            add_filters("https://x.org/r?max=100&cursor=a%2Bb").as_deref(),
            Ok(
                "https://x.org/r?max=100&cursor=a%2Bb&from=2026-10-01&hostEmail=ana%40example.org&status=deleted"
            )
        );
        assert_eq!(
            add_filters("https://x.org/r?hostEmail=bo@example.org"),
            Err(DifferentFilter("hostEmail".into()))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_header_never_panics(header in ".{0,80}") {
            if let Ok(Some(url)) = next_url(&header) {
                assert!(!url.is_empty());
            }
        }
    }
}
