//! The source as a graph: which file uses items of which other file.
//!
//! Every file of `src/` is parsed. A path is followed through the module tree, imports and
//! re-exports to the file that defines the item, so a re-export adds no edge of its own. Code that
//! is compiled for tests or fuzzing only does not count. In the tokens of a macro, paths that begin
//! with `crate`, `super` or `self` are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A module path from the root of the crate, without `crate`.
type ModulePath = Vec<String>;

/// The parsed source.
pub(crate) struct Source {
    files: BTreeMap<String, File>,
    modules: BTreeMap<ModulePath, Module>,
}

/// One file of `src/`.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    module: ModulePath,
    syntax: syn::File,
}

/// What a module offers to paths that lead through it.
#[derive(Default)]
struct Module {
    file: String,
    /// Names that `use` brings in, with the path that each stands for.
    imports: BTreeMap<String, ImportedPath>,
    /// Paths of glob imports.
    globs: Vec<ImportedPath>,
}

/// The path of an import, from the root of the crate.
type ImportedPath = Vec<String>;

/// An item of one file that another file uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Source {
    /// Parses every file below `src/`.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut texts = Vec::new();
        collect(&root, &root, &mut texts);
        assert!(texts.len() > 50, "only {} files in {}", texts.len(), root.display());
        Self::parse(texts)
    }

    /// Parses `texts`: pairs of a path below `src/` and its content.
    pub(crate) fn parse(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files = BTreeMap::new();
        for (path, text) in texts {
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            let module = module_of(&path);
            files.insert(path.clone(), File { path, text, module, syntax });
        }
        files.retain(|_, file| !is_for_tests(&file.path));
        let mut modules = BTreeMap::new();
        for file in files.values() {
            declare(&file.path, &file.module, &file.syntax.items, &mut modules);
        }
        Self { files, modules }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// Returns every use of one file's items by another, each pair once.
    pub(crate) fn uses(&self) -> BTreeSet<Use> {
        let mut uses = BTreeSet::new();
        for file in self.files.values() {
            let mut paths =
                PathCollector { source: self, module: file.module.clone(), found: BTreeSet::new() };
            paths.visit_file(&file.syntax);
            for target in paths.found {
                if target != file.path {
                    uses.insert(Use { from: file.path.clone(), to: target });
                }
            }
        }
        uses
    }

    /// Returns the file that defines the item at `path`, an absolute path within the crate; `None`
    /// where the path ends at a module or leaves the crate.
    fn resolve(&self, path: &[String], depth: usize) -> Option<String> {
        if depth > 16 {
            return None;
        }
        let mut module: ModulePath = Vec::new();
        for (index, segment) in path.iter().enumerate() {
            let mut child = module.clone();
            child.push(segment.clone());
            // A function and its module can have one name; a path that ends there means the item.
            let is_item = index + 1 == path.len()
                && self.modules.get(&module).is_some_and(|here| {
                    here.imports.get(segment).is_some_and(|import| import.len() > child.len())
                });
            if self.modules.contains_key(&child) && !is_item {
                module = child;
                continue;
            }
            let here = self.modules.get(&module)?;
            let rest = &path[index + 1..];
            if let Some(imported) = here.imports.get(segment) {
                let mut target = imported.clone();
                target.extend_from_slice(rest);
                return self.resolve(&target, depth + 1);
            }
            for glob in &here.globs {
                let mut target = glob.clone();
                target.extend_from_slice(&path[index..]);
                let resolved = self.resolve(&target, depth + 1);
                if resolved.is_some() && resolved.as_ref() != Some(&here.file) {
                    return resolved;
                }
            }
            return Some(here.file.clone());
        }
        None
    }

    /// Makes a path as written in `module` absolute; `None` if it names another crate or a
    /// local.
    fn absolute(&self, module: &ModulePath, segments: &[String]) -> Option<Vec<String>> {
        let mut base = module.clone();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" | "meetfs" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let mut child = base.clone();
                child.push(first.to_owned());
                if !self.modules.contains_key(&child) {
                    let imported = self.modules.get(&base)?.imports.get(first)?;
                    let mut path = imported.clone();
                    path.extend_from_slice(&rest[1..]);
                    return Some(path);
                }
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }
}

impl File {
    /// The first directory of the path, or the file's name for a file at the top.
    pub(crate) fn top_module(&self) -> &str {
        top_module(&self.path)
    }
}

/// Returns the top module that a file of `src/` belongs to.
pub(crate) fn top_module(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// Returns whether the file holds nothing but tests or fuzzing entry points.
fn is_for_tests(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "tests.rs" | "fuzzing.rs" | "model_check.rs"))
}

fn collect(directory: &Path, root: &Path, texts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, root, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            texts.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
        }
    }
}

fn module_of(path: &str) -> ModulePath {
    let mut parts: Vec<String> =
        path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    match parts.last().map(String::as_str) {
        Some("mod") => {
            parts.pop();
        }
        Some("lib") if parts.len() == 1 => parts.clear(),
        _ => {}
    }
    parts
}

/// Registers a module and the modules that stand in the same file.
fn declare(
    file: &str,
    module: &ModulePath,
    items: &[syn::Item],
    modules: &mut BTreeMap<ModulePath, Module>,
) {
    let mut found = Module { file: file.to_owned(), ..Module::default() };
    for item in items {
        match item {
            syn::Item::Use(item) if !is_test_only(&item.attrs) => {
                import(&item.tree, module, &mut Vec::new(), &mut found);
            }
            syn::Item::Mod(item) if !is_test_only(&item.attrs) => {
                if let Some((_, items)) = &item.content {
                    let mut child = module.clone();
                    child.push(item.ident.to_string());
                    declare(file, &child, items, modules);
                }
            }
            _ => {}
        }
    }
    modules.insert(module.clone(), found);
}

fn import(tree: &syn::UseTree, module: &ModulePath, prefix: &mut Vec<String>, found: &mut Module) {
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            import(&path.tree, module, prefix, found);
            prefix.pop();
        }
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| import(tree, module, prefix, found));
        }
        syn::UseTree::Name(name) => {
            let name = name.ident.to_string();
            let path = if name == "self" { prefix.clone() } else { joined(prefix, &name) };
            let bound = path.last().cloned().unwrap_or_default();
            found.imports.insert(bound, rooted(module, &path));
        }
        syn::UseTree::Rename(rename) => {
            let path = joined(prefix, &rename.ident.to_string());
            found.imports.insert(rename.rename.to_string(), rooted(module, &path));
        }
        syn::UseTree::Glob(_) => found.globs.push(rooted(module, prefix)),
    }
}

fn joined(prefix: &[String], last: &str) -> Vec<String> {
    prefix.iter().cloned().chain([last.to_owned()]).collect()
}

/// Makes the path of an import absolute. In `use`, a path begins with `crate`, `self`, `super`, a
/// child module or another crate; the last two look alike and are told apart when resolving.
fn rooted(module: &ModulePath, path: &[String]) -> Vec<String> {
    let mut base = module.clone();
    let mut rest = path;
    match rest.first().map(String::as_str) {
        Some("crate" | "meetfs") => {
            base.clear();
            rest = &rest[1..];
        }
        Some("self") => rest = &rest[1..],
        Some("super") => {
            while rest.first().is_some_and(|segment| segment == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => {}
    }
    base.extend_from_slice(rest);
    base
}

/// Returns whether attributes restrict an item to tests or fuzzing.
fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if !attribute.path().is_ident("cfg") {
            return false;
        }
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string();
        !condition.starts_with("not")
            && ["test", "fuzzing", "model-check"].iter().any(|word| condition.contains(word))
    })
}

/// Collects the files that the paths of one file lead to.
struct PathCollector<'a> {
    source: &'a Source,
    module: ModulePath,
    found: BTreeSet<String>,
}

impl PathCollector<'_> {
    fn follow(&mut self, segments: &[String]) {
        let Some(path) = self.source.absolute(&self.module, segments) else { return };
        // Shorter paths too: `Type::method` is an item and something that belongs to it.
        if let Some(file) = self.source.resolve(&path, 0) {
            self.found.insert(file);
        }
    }

    fn follow_tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.follow_tree(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.follow_tree(tree, prefix));
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.follow(&prefix.clone()),
            syn::UseTree::Name(name) => {
                let path = rooted(&self.module, &joined(prefix, &name.ident.to_string()));
                self.found.extend(self.source.resolve(&path, 0));
            }
            syn::UseTree::Rename(rename) => {
                let path = rooted(&self.module, &joined(prefix, &rename.ident.to_string()));
                self.found.extend(self.source.resolve(&path, 0));
            }
            syn::UseTree::Glob(_) => {
                let path = rooted(&self.module, prefix);
                if let Some(module) = self.source.modules.get(&path) {
                    self.found.insert(module.file.clone());
                }
            }
        }
    }

    fn follow_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut index = 0;
        while index < tokens.len() {
            match &tokens[index] {
                TokenTree::Group(group) => self.follow_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut segments = vec![first.to_string()];
                    while let (
                        Some(TokenTree::Punct(one)),
                        Some(TokenTree::Punct(two)),
                        Some(TokenTree::Ident(next)),
                    ) = (tokens.get(index + 1), tokens.get(index + 2), tokens.get(index + 3))
                        && one.as_char() == ':'
                        && two.as_char() == ':'
                    {
                        segments.push(next.to_string());
                        index += 3;
                    }
                    if segments.len() > 1 {
                        self.follow(&segments);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            index += 1;
        }
    }
}

impl<'ast> Visit<'ast> for PathCollector<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Trait(item) => &item.attrs,
            syn::Item::Type(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test_only(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // A re-export gives a name to an item; it does not use it.
        if matches!(item.vis, syn::Visibility::Inherited) {
            self.follow_tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test_only(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.follow(&segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.follow_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}
