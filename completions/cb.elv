set edit:completion:arg-completer[cb] = { |@words|
    var index = (count $words)
    set index = (- $index 1)

    put (env _CLAP_IFS="\n" _CLAP_COMPLETE_INDEX=(to-string $index) CB_COMPLETE="elvish" cb -- $@words) | to-lines
}
