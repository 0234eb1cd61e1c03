package mapping

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// An object is one object that an entry may fill, and what the schema wants
// of it. settle drops it when an event does not bring that: an object that
// lacks what is required would make the whole event invalid.
type object struct {
	name     string
	slots    []int // its own and those of the objects in it
	own      []int // its own
	kids     []int // objects in it, by index in the tree
	required []need
	groups   [][]need // at least one of each
	single   [][]need // at most one of each
}

// A need is one attribute: a slot, or an object of the tree.
type need struct {
	name      string
	slot, kid int
}

// newTree lists the objects that the slots of set are in, inner ones first;
// the last is the class or the row itself.
func newTree(o *ocsf.Object, set map[string]int) []*object {
	var tree []*object
	addObject(&tree, o, "", set)
	return tree
}

func addObject(tree *[]*object, o *ocsf.Object, prefix string, set map[string]int) int {
	x := &object{name: strings.TrimSuffix(prefix, ".")}
	at := map[string]need{}
	for _, a := range o.Attrs {
		path := prefix + a.Name
		if path == "metadata" {
			continue
		}
		if a.Base == ocsf.BaseObject && !a.Array {
			if !below(set, path+".") {
				continue
			}
			k := addObject(tree, a.Object, path+".", set)
			x.kids = append(x.kids, k)
			x.slots = append(x.slots, (*tree)[k].slots...)
			at[a.Name] = need{path, -1, k}
			continue
		}
		if slot, ok := set[path]; ok {
			x.own, x.slots = append(x.own, slot), append(x.slots, slot)
			at[a.Name] = need{path, slot, -1}
		}
	}
	for _, a := range o.Attrs {
		if n, ok := at[a.Name]; ok && mustSet(a, prefix) {
			x.required = append(x.required, n)
		} else if mustSet(a, prefix) {
			x.required = append(x.required, need{prefix + a.Name, -1, -1})
		}
	}
	if o.Name != "auth_factor" { // its constraint is a known fault of the schema
		x.groups, x.single = groups(o.AtLeastOne, at), groups(o.JustOne, at)
		x.groups = append(x.groups, x.single...)
	}
	*tree = append(*tree, x)
	return len(*tree) - 1
}

func groups(names [][]string, at map[string]need) [][]need {
	var out [][]need
	for _, g := range names {
		var group []need
		for _, name := range g {
			if n, ok := at[name]; ok {
				group = append(group, n)
			}
		}
		out = append(out, group)
	}
	return out
}

func below(set map[string]int, prefix string) bool {
	for p := range set {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	return false
}

// mustSet says whether a mapping has to set an attribute: it is required, and
// neither base nor Finish fills it.
func mustSet(a *ocsf.Attr, prefix string) bool {
	if a.Requirement != ocsf.Required || len(a.Profiles) > 0 {
		return false
	}
	if prefix == "" && slices.Contains([]string{"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}, a.Name) {
		return false
	}
	if prefix != "" && a.Enum != nil && !a.Array {
		if _, ok := a.Enum.Caption(0); ok {
			return false // Finish makes it 0, Unknown
		}
	}
	return true
}

// settle drops the objects that lack what they need. It returns what the
// last, the class or row itself, lacks; "" when it is good. from is where the
// row's uses begin, -1 for the event.
func (r *run) settle(tree []*object, slots []ocsf.Value, from int) string {
	for len(r.present) < len(tree) {
		r.present = append(r.present, false)
	}
	here := func(n need) bool {
		if n.kid >= 0 {
			return r.present[n.kid]
		}
		return n.slot >= 0 && slots[n.slot].Has()
	}
	for i, x := range tree {
		last := i == len(tree)-1
		any := last
		for _, s := range x.own {
			any = any || slots[s].Has()
		}
		for _, k := range x.kids {
			any = any || r.present[k]
		}
		r.present[i] = any
		if !any {
			continue
		}
		lacks := ""
		for _, n := range x.required {
			if !here(n) {
				lacks = n.name
			}
		}
		for _, g := range x.groups {
			if !slices.ContainsFunc(g, here) {
				lacks = groupName(x, g)
			}
		}
		if lacks != "" {
			if last {
				return lacks
			}
			r.present[i] = false
			r.drop(x, slots, from)
			continue
		}
		for _, g := range x.single {
			found := false
			for _, n := range g {
				if !here(n) {
					continue
				}
				if found && n.slot >= 0 {
					r.drop(&object{slots: []int{n.slot}}, slots, from)
				}
				found = true
			}
		}
	}
	return ""
}

func groupName(x *object, g []need) string {
	if len(g) == 0 {
		return "one of its constraint"
	}
	var names []string
	for _, n := range g {
		names = append(names, n.name)
	}
	return strings.Join(names, " or ")
}

// drop empties the slots of an object and gives its fields back to unmapped.
func (r *run) drop(x *object, slots []ocsf.Value, from int) {
	r.tally.dropped++
	for _, s := range x.slots {
		slots[s] = ocsf.Value{}
	}
	kept, dropped := r.uses[:max(from, 0)], r.dropped[:0]
	for _, u := range r.uses[max(from, 0):] {
		if u.slot >= 0 && slices.Contains(x.slots, int(u.slot)) {
			dropped = append(dropped, u.node)
			continue
		}
		kept = append(kept, u)
	}
	r.uses, r.dropped = kept, dropped
	for _, node := range dropped {
		r.giveBack(node)
	}
}

// dropFrom gives the fields of the uses from a number on back to unmapped.
func (r *run) dropFrom(from int) {
	dropped := r.uses[from:]
	r.uses = r.uses[:from]
	for _, u := range dropped {
		r.giveBack(u.node)
	}
}

// giveBack gives a field back to unmapped, unless something else has it too.
func (r *run) giveBack(node int32) {
	r.vars.Left -= expr.StepCost(len(r.uses))
	for i := range r.uses {
		if r.uses[i].node == node {
			return
		}
	}
	r.doc.Unuse(node)
}

// required reports what an entry or row can never have. at is where it says
// its class, or where the row is; what an object lacks is reported where the
// entry sets something of it.
func (c *compiler) required(at *yaml.Node, o *ocsf.Object, prefix string, class bool) {
	what := o.Name
	if !class && prefix == "" {
		what = "an object " + o.Name
	}
	if prefix != "" {
		what = fmt.Sprintf("%s (%s)", strings.TrimSuffix(prefix, "."), o.Name)
		if n := c.firstBelow(c.prefix + prefix); n != nil {
			at = n
		}
	}
	has := func(name string) bool {
		_, ok := c.set[prefix+name]
		return ok || below(c.set, prefix+name+".")
	}
	for _, a := range o.Attrs {
		path := prefix + a.Name
		if path == "metadata" {
			continue
		}
		if mustSet(a, prefix+strings.Repeat("x", b2i(!class && prefix == ""))) && !has(a.Name) {
			c.say(at, "missing-attribute", fmt.Sprintf("%s requires %s, which is not set", what, a.Name), c.near(a.Name, prefix))
		}
		if class && len(a.Profiles) > 0 && a.Requirement == ocsf.Required && !has(a.Name) && c.usesProfile(o, a.Profiles) {
			c.say(at, "missing-attribute", fmt.Sprintf("%s is required with the profile %s", path, a.Profiles[0]), "")
		}
		if a.Base == ocsf.BaseObject && !a.Array && below(c.set, path+".") {
			c.required(at, a.Object, path+".", false)
		}
	}
	if o.Name == "auth_factor" {
		return
	}
	for _, g := range append(append([][]string{}, o.AtLeastOne...), o.JustOne...) {
		if !slices.ContainsFunc(g, has) {
			c.say(at, "missing-attribute", fmt.Sprintf("%s requires one of %s", what, strings.Join(g, ", ")), "")
		}
	}
}

// near says where a missing attribute is set elsewhere in the entry: one level
// too deep or too high is the usual mistake.
func (c *compiler) near(name, prefix string) string {
	var found []string
	for path := range c.set {
		if path != prefix+name && (strings.HasSuffix(path, "."+name) || strings.Contains(path, "."+name+".")) {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return fmt.Sprintf("%s is set, which is another", found[0])
}

// firstBelow is the first place at which something below a path is set.
func (c *compiler) firstBelow(prefix string) *yaml.Node {
	var first *yaml.Node
	for path, n := range c.places {
		if strings.HasPrefix(path, prefix) && (first == nil || n.Line < first.Line || n.Line == first.Line && n.Column < first.Column) {
			first = n
		}
	}
	return first
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// usesProfile says whether the entry sets an attribute of one of the profiles.
func (c *compiler) usesProfile(o *ocsf.Object, profiles []string) bool {
	for _, a := range o.Attrs {
		if slices.ContainsFunc(a.Profiles, func(p string) bool { return slices.Contains(profiles, p) }) {
			if _, ok := c.set[a.Name]; ok || below(c.set, a.Name+".") {
				return true
			}
		}
	}
	return false
}

// A profileZero is an enum id that a profile requires: 0, Unknown, when the
// profile is used and nothing set it.
type profileZero struct {
	slot   int
	text   int // of its caption, from which Finish tells the id; -1 if nothing sets it
	others []int
}

func profileZeros(layout *ocsf.Layout, set map[string]int) []profileZero {
	var out []profileZero
	for _, a := range layout.Object.Attrs {
		if a.Requirement != ocsf.Required || len(a.Profiles) == 0 || a.Enum == nil {
			continue
		}
		slot, ok := set[a.Name]
		if !ok {
			continue
		}
		z := profileZero{slot: slot, text: -1}
		if text, ok := set[a.Sibling]; ok {
			z.text = text
		}
		for _, b := range layout.Object.Attrs {
			if !slices.ContainsFunc(b.Profiles, func(p string) bool { return slices.Contains(a.Profiles, p) }) {
				continue
			}
			for path, s := range set {
				if path == b.Name || strings.HasPrefix(path, b.Name+".") {
					z.others = append(z.others, s)
				}
			}
		}
		out = append(out, z)
	}
	return out
}

func (z profileZero) settle(slots []ocsf.Value) {
	if slots[z.slot].Has() || z.text >= 0 && slots[z.text].Has() {
		return
	}
	for _, s := range z.others {
		if slots[s].Has() {
			slots[z.slot] = ocsf.IntValue(0)
			return
		}
	}
}
