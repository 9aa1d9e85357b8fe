"""Parts of a tab that are large enough to stand by themselves: laid out by the tab, wired by themselves."""
