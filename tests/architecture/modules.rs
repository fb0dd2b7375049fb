//! Circles of modules inside a crate.
//!
//! How imports are read: each file is parsed with `syn`, from the crate's root along its `mod` items. Every `use` and every
//! path in code, in macro calls too, is resolved by name: through `crate`, `self`, `super`, imports, re-exports and globs,
//! to the module that defines the last thing named. From that come arrows between files; an inline module belongs to its file.
//!
//! What counts as a circle: at every module, its children (each with all that is below it) and its own file may not use each
//! other in a ring. A *private* child may use what its parent's own file defines, since both are one thing that was cut in
//! files; the parent is then taken to use that child.
//!
//! What this cannot see: a method or a field of a value whose type is not named in the file, what a macro makes of its
//! arguments, a `macro_rules!` used elsewhere, and a function pointer or trait object that was handed in (that is how a
//! circle is meant to be cut). A `use` inside a function counts for its whole module. Code under `cfg(test)` is not read:
//! a test may set up whatever it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A circle: the module at which it shows, and those that use each other in a ring, as paths from the crate's root.
#[derive(Debug)]
pub struct Circle {
    pub members: BTreeSet<String>,
    /// One example for each arrow in it.
    pub arrows: Vec<String>,
}

#[derive(Debug, Default)]
struct Module {
    /// From the crate's root, which is empty.
    path: Vec<String>,
    parent: Option<usize>,
    is_private: bool,
    /// The module that has the file this one stands in: itself but for inline modules.
    file_owner: usize,
    children: BTreeMap<String, usize>,
    /// Names that it defines itself.
    items: BTreeSet<String>,
    /// `use PATH as NAME`, re-exports included.
    imports: Vec<(String, Vec<String>)>,
    globs: Vec<Vec<String>>,
    /// Every path in its code.
    mentions: BTreeSet<Vec<String>>,
}

struct Crate {
    modules: Vec<Module>,
}

/// The circles of the crate with this root file.
pub fn circles(root: &Path) -> Vec<Circle> {
    let tree = Crate::read(root);
    let arrows = tree.arrows();
    (0..tree.modules.len())
        .filter(|at| tree.modules[*at].file_owner == *at)
        .flat_map(|at| tree.circles_at(at, &arrows))
        .collect()
}

impl Crate {
    fn read(root: &Path) -> Self {
        let mut tree = Self { modules: vec![Module::default()] };
        let folder = root.parent().expect("a file stands in a folder").to_owned();
        tree.read_file(0, root, &folder);
        tree
    }

    /// `folder` is where the files of its children lie.
    fn read_file(&mut self, at: usize, file: &Path, folder: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(at, &parsed.items, file, folder);
    }

    fn read_items(&mut self, at: usize, items: &[syn::Item], file: &Path, folder: &Path) {
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            if let syn::Item::Mod(module) = item {
                self.read_module(at, module, file, folder);
                continue;
            }
            self.modules[at].items.extend(name_of(item));
            let mut reader = Reader { module: &mut self.modules[at] };
            reader.visit_item(item);
        }
    }

    fn read_module(&mut self, parent: usize, item: &syn::ItemMod, file: &Path, folder: &Path) {
        let at = self.modules.len();
        let name = item.ident.to_string();
        let mut path = self.modules[parent].path.clone();
        path.push(name.clone());
        let is_private = matches!(item.vis, syn::Visibility::Inherited);
        let file_owner = if item.content.is_some() { self.modules[parent].file_owner } else { at };
        self.modules.push(Module { path, parent: Some(parent), is_private, file_owner, ..Module::default() });
        self.modules[parent].children.insert(name.clone(), at);
        if let Some((_, items)) = &item.content {
            self.read_items(at, items, file, &folder.join(&name));
            return;
        }
        let (file, folder) = file_of(item, file, folder, &name);
        self.read_file(at, &file, &folder);
    }

    /// For each file: the others that it uses, with a path as an example.
    fn arrows(&self) -> BTreeMap<(usize, usize), String> {
        let mut found = BTreeMap::new();
        for (at, module) in self.modules.iter().enumerate() {
            let imported = module.imports.iter().map(|(_, path)| path);
            for path in imported.chain(&module.globs).chain(&module.mentions) {
                // `use super::*` uses what is then named, and a local variable may be called like a child.
                let names_only_ancestors = path.iter().all(|name| ["crate", "self", "super"].contains(&name.as_str()));
                if names_only_ancestors || (path.len() == 1 && module.children.contains_key(&path[0])) {
                    continue;
                }
                let Some(target) = self.resolve(at, path, 0) else { continue };
                let (from, to) = (module.file_owner, self.modules[target].file_owner);
                if from != to {
                    found.entry((from, to)).or_insert_with(|| path.join("::"));
                }
            }
        }
        found
    }

    /// The module that defines what a path names, seen from a module; none if that is another crate's.
    fn resolve(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(0, rest, depth),
            "self" => self.descend(at, rest, depth),
            "super" => {
                let mut above = self.modules[at].parent?;
                let mut rest = rest;
                while let Some(("super", further)) = rest.split_first().map(|(name, further)| (name.as_str(), further))
                {
                    above = self.modules[above].parent?;
                    rest = further;
                }
                self.descend(above, rest, depth)
            }
            _ => self.descend_from_name(at, first, rest, depth),
        }
    }

    fn descend(&self, at: usize, rest: &[String], depth: usize) -> Option<usize> {
        let Some((name, further)) = rest.split_first() else { return Some(at) };
        // What is not found is a name that this reading cannot see; a module that names it uses this one all the same.
        self.descend_from_name(at, name, further, depth).or(Some(at))
    }

    /// Looks a name up in a module: its children, its own items, its imports, its globs.
    fn descend_from_name(&self, at: usize, name: &str, rest: &[String], depth: usize) -> Option<usize> {
        // Globs may lie in a ring.
        if depth > 16 {
            return None;
        }
        let module = &self.modules[at];
        if let Some(child) = module.children.get(name) {
            return self.descend(*child, rest, depth);
        }
        if module.items.contains(name) {
            return Some(at);
        }
        if let Some((_, path)) = module
            .imports
            .iter()
            .find(|(as_name, path)| as_name == name && path.first().is_none_or(|first| first != name))
        {
            let whole: Vec<String> = path.iter().chain(rest).cloned().collect();
            return self.resolve(at, &whole, depth + 1);
        }
        module.globs.iter().find_map(|glob| {
            let source = self.resolve(at, glob, depth + 1).filter(|source| *source != at)?;
            self.descend_from_name(source, name, rest, depth + 1)
        })
    }

    /// Which child of a module (itself for its own file) a file belongs to; none if it lies elsewhere.
    fn branch(&self, top: usize, mut file: usize) -> Option<usize> {
        if file == top {
            return Some(top);
        }
        loop {
            let parent = self.modules[self.modules[file].parent?].file_owner;
            if parent == top {
                return Some(file);
            }
            file = parent;
        }
    }

    fn circles_at(&self, top: usize, arrows: &BTreeMap<(usize, usize), String>) -> Vec<Circle> {
        let mut edges: BTreeMap<(usize, usize), String> = BTreeMap::new();
        for ((from, to), path) in arrows {
            let (Some(a), Some(b)) = (self.branch(top, *from), self.branch(top, *to)) else { continue };
            let is_part_of_parent = b == top && self.modules[a].is_private;
            if a != b && !is_part_of_parent {
                edges.entry((a, b)).or_insert_with(|| format!("{} uses {path}", self.name(*from)));
            }
        }
        let children = (0..self.modules.len()).filter(|at| *at != top && self.branch(top, *at) == Some(*at));
        for child in children.filter(|at| self.modules[*at].is_private && self.modules[*at].file_owner == *at) {
            edges.entry((top, child)).or_insert_with(|| format!("{} has {}", self.name(top), self.name(child)));
        }
        let nodes: BTreeSet<usize> = edges.keys().flat_map(|(a, b)| [*a, *b]).collect();
        rings(&nodes, edges.keys().copied().collect())
            .into_iter()
            .map(|ring| Circle {
                members: ring.iter().map(|at| self.name(*at)).collect(),
                arrows: edges
                    .iter()
                    .filter(|((a, b), _)| ring.contains(a) && ring.contains(b))
                    .map(|(_, text)| text.clone())
                    .collect(),
            })
            .collect()
    }

    fn name(&self, at: usize) -> String {
        let path = self.modules[at].path.join("::");
        if path.is_empty() { "crate".to_owned() } else { path }
    }
}

/// The sets of nodes that reach each other, those of one node left out.
fn rings(nodes: &BTreeSet<usize>, edges: BTreeSet<(usize, usize)>) -> Vec<BTreeSet<usize>> {
    let reach = |from: usize| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            let next = edges.range((at, 0)..=(at, usize::MAX)).map(|edge| edge.1);
            open.extend(next.filter(|to| seen.insert(*to)));
        }
        seen
    };
    let reached: BTreeMap<usize, BTreeSet<usize>> = nodes.iter().map(|node| (*node, reach(*node))).collect();
    let mut found: Vec<BTreeSet<usize>> = Vec::new();
    for node in nodes.iter().filter(|node| reached[node].contains(node)) {
        if !found.iter().any(|ring| ring.contains(node)) {
            found.push(reached[node].iter().filter(|other| reached[other].contains(node)).copied().collect());
        }
    }
    found
}

/// Where the file of `mod name;` lies, and where those of its children do.
fn file_of(item: &syn::ItemMod, file: &Path, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    if let Some(path) = named_path(&item.attrs) {
        let file = file.parent().expect("a file stands in a folder").join(path);
        let folder = file.parent().expect("a file stands in a folder").to_owned();
        return (file, folder);
    }
    let below = folder.join(name);
    let flat = folder.join(format!("{name}.rs"));
    if flat.exists() { (flat, below) } else { (below.join("mod.rs"), below) }
}

/// `#[path = "..."]`.
fn named_path(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// `#[cfg(test)]` and `#[cfg(all(test, ...))]`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition: String = list.tokens.to_string().split_whitespace().collect();
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    use syn::Item;
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &syn::Item) -> Option<String> {
    use syn::Item;
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Collects imports and paths.
struct Reader<'m> {
    module: &'m mut Module,
}

impl Reader<'_> {
    fn import(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.module.imports.push((last, before.to_vec()));
            }
            syn::UseTree::Name(name) => self.module.imports.push((name.ident.to_string(), with(&name.ident))),
            syn::UseTree::Rename(name) => self.module.imports.push((name.rename.to_string(), with(&name.ident))),
            syn::UseTree::Glob(_) => self.module.globs.push(before.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
        }
    }

    /// `a::b::c` wherever it stands in the arguments of a macro call.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.mention(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.mention(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.read_tokens(group.stream());
                    }
                }
            }
        }
        self.mention(path);
    }

    fn mention(&mut self, path: Vec<String>) {
        if !path.is_empty() {
            self.module.mentions.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.mention(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.read_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}
