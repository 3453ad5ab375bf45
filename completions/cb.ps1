Register-ArgumentCompleter -Native -CommandName cb -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $prev = $env:CB_COMPLETE;
    $env:CB_COMPLETE = "powershell";

    $args = $commandAst.Extent.Text
    $args = $args.Substring(0, [math]::Min($cursorPosition, $args.Length));
    if ($wordToComplete -eq "") {
        $args += " ''";
    }

    $results = Invoke-Expression @"
& cb -- $args
"@;
    if ($null -eq $prev) {
        Remove-Item Env:\CB_COMPLETE;
    } else {
        $env:CB_COMPLETE = $prev;
    }
    $results | ForEach-Object {
        $split = $_.Split("`t");
        $cmd = $split[0];

        if ($split.Length -eq 2) {
            $help = $split[1];
        }
        else {
            $help = $split[0];
        }

        [System.Management.Automation.CompletionResult]::new($cmd, $cmd, 'ParameterValue', $help)
    }
};
