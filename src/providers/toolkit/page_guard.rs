//! Detects a paged list that has no end.

use std::collections::HashSet;

use thiserror::Error;

/// How a list of pages turns out to have no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum EndlessList {
    #[error("sent a list without a last page")]
    TooManyPages,
    #[error("named the same next page twice")]
    RepeatedPage,
    #[error("sent one page after another with nothing new on them")]
    BarrenPages,
}

/// Bounds on one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    pub(crate) max_pages: usize,
    /// Pages in a row without a new item. A server-side filter may empty a page, so one such page
    /// is not an error.
    pub(crate) max_barren_pages: usize,
}

/// Follows one walk through a list.
#[derive(Debug)]
pub(crate) struct PageGuard {
    limits: PageLimits,
    pages: usize,
    barren: usize,
    items: HashSet<String>,
    next_pages: HashSet<String>,
}

impl PageGuard {
    pub(crate) fn new(limits: PageLimits) -> Self {
        Self { limits, pages: 0, barren: 0, items: HashSet::new(), next_pages: HashSet::new() }
    }

    /// Counts a request for a page.
    pub(crate) fn begin_page(&mut self) -> Result<(), EndlessList> {
        if self.pages == self.limits.max_pages {
            return Err(EndlessList::TooManyPages);
        }
        self.pages += 1;
        Ok(())
    }

    /// Records the identities of what a page lists. Without it, no page counts as barren.
    pub(crate) fn record_items<'a>(&mut self, items: impl IntoIterator<Item = &'a str>) {
        let known = self.items.len();
        self.items.extend(items.into_iter().map(str::to_owned));
        self.barren = if self.items.len() == known { self.barren + 1 } else { 0 };
    }

    /// Checks the next page that the last one names, by its token or URL.
    pub(crate) fn follow(&mut self, next: &str) -> Result<(), EndlessList> {
        if !self.next_pages.insert(next.to_owned()) {
            return Err(EndlessList::RepeatedPage);
        }
        if self.barren >= self.limits.max_barren_pages {
            return Err(EndlessList::BarrenPages);
        }
        Ok(())
    }

    /// Forgets what was listed, for a walk that starts again at the first page. Pages stay counted.
    pub(crate) fn restart(&mut self) {
        self.barren = 0;
        self.items.clear();
        self.next_pages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> PageGuard {
        PageGuard::new(PageLimits { max_pages: 3, max_barren_pages: 2 })
    }

    #[test]
    fn pages_are_bounded_even_over_restarts() {
        let mut guard = guard();
        for _ in 0..3 {
            guard.begin_page().unwrap();
            guard.restart();
        }
        assert_eq!(guard.begin_page(), Err(EndlessList::TooManyPages));
    }

    #[test]
    fn repeated_page_is_found_at_any_distance() {
        let mut guard = guard();
        guard.follow("a").unwrap();
        guard.follow("b").unwrap();
        assert_eq!(guard.follow("a"), Err(EndlessList::RepeatedPage));
        guard.restart();
        guard.follow("a").unwrap();
    }

    #[test]
    fn barren_pages_count_in_a_row_only() {
        let mut guard = guard();
        for (number, items) in
            [vec!["a"], vec!["a"], vec!["a", "b"], vec![]].into_iter().enumerate()
        {
            guard.record_items(items);
            guard.follow(&number.to_string()).unwrap();
        }
        guard.record_items(["b"]);
        assert_eq!(guard.follow("4"), Err(EndlessList::BarrenPages));
        guard.restart();
        guard.follow("4").unwrap();
    }
}
