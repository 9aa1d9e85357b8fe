"""Parts of a tab that several tabs share: laid out by the tab, wired by themselves."""
