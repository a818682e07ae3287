//! `Link`: the next page is on the API's own host, or there is none.

use meetfs::fuzzing::webex;
use url::Url;

pub fn check(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else { return };
    let base = Url::parse("https://webexapis.com/v1").expect("an address");
    if let Some(page) = webex::read_next_page(&base, header) {
        let page = page.expose();
        assert_eq!(page.origin(), base.origin(), "{page}");
        let fields = page.query().unwrap_or_default().split('&');
        let spoiled = fields
            .filter_map(|field| field.strip_prefix("max="))
            .any(|most| most.parse::<u32>().is_err());
        assert!(!spoiled, "{page}");
    }
}
