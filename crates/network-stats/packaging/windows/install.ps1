# Installs Network Stats Collector as a service. Run as administrator, in the unpacked folder:
#   powershell -ExecutionPolicy Bypass -File install.ps1
# and to remove it (what was measured stays):
#   powershell -ExecutionPolicy Bypass -File install.ps1 -Remove
param([switch]$Remove)
$ErrorActionPreference = 'Stop'
$place = Join-Path $env:ProgramFiles 'network-stats'
$program = Join-Path $place 'network-stats.exe'
$identity = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'Installing a service needs an administrator: open PowerShell with "Run as administrator".'
}
$path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
if ($Remove) {
    & $program service uninstall
    if ($LASTEXITCODE -ne 0) { throw 'The service could not be removed.' }
    Remove-Item -Recurse -Force $place
    $kept = ($path -split ';' | Where-Object { $_ -ne $place }) -join ';'
    [Environment]::SetEnvironmentVariable('Path', $kept, 'Machine')
    Write-Host "Removed. What was measured is still in $env:ProgramData\network-stats."
    return
}
New-Item -ItemType Directory -Force $place | Out-Null
if (Get-Service network-stats -ErrorAction SilentlyContinue) { & $program service stop }
Copy-Item -Force (Join-Path $PSScriptRoot 'network-stats.exe') $program
if (($path -split ';') -notcontains $place) {
    [Environment]::SetEnvironmentVariable('Path', "$path;$place", 'Machine')
}
& $program service install
if ($LASTEXITCODE -ne 0) { throw 'The service could not be installed.' }
& $program service start
if ($LASTEXITCODE -ne 0) { throw 'The service could not be started.' }
Write-Host 'Running: http://localhost:8080'
