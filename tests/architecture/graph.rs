//! Cycles in a directed graph of names.

use std::collections::{BTreeMap, BTreeSet};

/// A directed graph of names.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(crate) fn new<'a>(edges: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut graph = Self::default();
        for (from, to) in edges {
            if from != to {
                graph.edges.entry(from.to_owned()).or_default().insert(to.to_owned());
                graph.edges.entry(to.to_owned()).or_default();
            }
        }
        graph
    }

    /// Returns each strongly connected component of more than one name, as a shortest cycle in it.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let reachable: BTreeMap<&str, BTreeSet<&str>> =
            self.edges.keys().map(|from| (from.as_str(), self.reachable(from))).collect();
        let mut cycles = Vec::new();
        let mut done = BTreeSet::new();
        for name in self.edges.keys() {
            if done.contains(name.as_str()) || !reachable[name.as_str()].contains(name.as_str()) {
                continue;
            }
            let component = reachable[name.as_str()]
                .iter()
                .filter(|other| reachable[*other].contains(name.as_str()));
            done.extend(component.copied());
            cycles.push(self.shortest_cycle(name).join(" -> "));
        }
        cycles
    }

    fn reachable(&self, from: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self.edges[from].iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                open.extend(self.edges[name].iter().map(String::as_str));
            }
        }
        found
    }

    fn shortest_cycle(&self, start: &str) -> Vec<String> {
        let mut paths = vec![vec![start.to_owned()]];
        let mut seen = BTreeSet::new();
        loop {
            let mut longer = Vec::new();
            for path in paths {
                for next in &self.edges[path.last().unwrap()] {
                    let mut path = path.clone();
                    path.push(next.clone());
                    if next == start {
                        return path;
                    }
                    if seen.insert(next.clone()) {
                        longer.push(path);
                    }
                }
            }
            assert!(!longer.is_empty(), "{start} is in no cycle");
            paths = longer;
        }
    }
}

#[test]
fn every_cycle_is_found_once() {
    let graph =
        Graph::new([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d")]);
    assert_eq!(graph.cycles(), ["a -> b -> c -> a", "d -> e -> d"]);
    assert_eq!(Graph::new([("a", "b"), ("a", "c"), ("b", "c")]).cycles(), [""; 0]);
}
