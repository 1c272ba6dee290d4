// A volume driver for tests on a cluster of one node: a volume is a folder, a snapshot is a copy of it.
// It stands in for a real storage system where none can be had. It is in no use outside such a cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	driverName = "hostpath.fixture.cortex-ops.test"
	version    = "1"
)

type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer
	registration.UnimplementedRegistrationServer
	root, node, socket string
}

// folder of a volume or snapshot; an id that is no plain name would reach outside of ours.
func (d *driver) folder(kind, id string) (string, error) {
	if id == "" || id == "." || id == ".." || strings.ContainsAny(id, "/\x00") {
		return "", status.Errorf(codes.InvalidArgument, "%q names no %s", id, kind)
	}
	return filepath.Join(d.root, kind, id), nil
}

func (d *driver) existing(kind, id string) (string, error) {
	path, err := d.folder(kind, id)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", status.Errorf(codes.NotFound, "%s %s is not here", kind, id)
	}
	return path, nil
}

// clone copies a folder under a hidden name first: what has its name is whole.
func clone(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	partial := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".partial")
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", from, partial).CombinedOutput(); err != nil {
		return status.Errorf(codes.Internal, "copying %s: %s", from, out)
	}
	return os.Rename(partial, to)
}

// Identity.

func (d *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: driverName, VendorVersion: version}, nil
}

func (d *driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	service := &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{
		{Type: &csi.PluginCapability_Service_{Service: service}},
	}}, nil
}

func (d *driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

// Controller.

func (d *driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	var out []*csi.ControllerServiceCapability
	for _, one := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
	} {
		rpc := &csi.ControllerServiceCapability_RPC{Type: one}
		out = append(out, &csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{Rpc: rpc}})
	}
	return &csi.ControllerGetCapabilitiesResponse{Capabilities: out}, nil
}

func (d *driver) CreateVolume(_ context.Context, in *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	path, err := d.folder("volumes", in.GetName())
	if err != nil {
		return nil, err
	}
	if snapshot := in.GetVolumeContentSource().GetSnapshot(); snapshot != nil {
		from, err := d.existing("snapshots", snapshot.GetSnapshotId())
		if err != nil {
			return nil, err
		}
		if err := clone(from, path); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	} else if err := os.Chmod(path, 0o777); err != nil {
		return nil, err
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId:      in.GetName(),
		CapacityBytes: in.GetCapacityRange().GetRequiredBytes(),
		ContentSource: in.GetVolumeContentSource(),
	}}, nil
}

func (d *driver) DeleteVolume(_ context.Context, in *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	path, err := d.folder("volumes", in.GetVolumeId())
	if err != nil {
		return nil, err
	}
	return &csi.DeleteVolumeResponse{}, os.RemoveAll(path)
}

func (d *driver) ValidateVolumeCapabilities(_ context.Context, in *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if _, err := d.existing("volumes", in.GetVolumeId()); err != nil {
		return nil, err
	}
	confirmed := &csi.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: in.GetVolumeCapabilities()}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: confirmed}, nil
}

func (d *driver) CreateSnapshot(_ context.Context, in *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	from, err := d.existing("volumes", in.GetSourceVolumeId())
	if err != nil {
		return nil, err
	}
	// Both names are one folder's name, so that the source is known without a list of our own.
	id := in.GetSourceVolumeId() + "@" + in.GetName()
	path, err := d.folder("snapshots", id)
	if err != nil {
		return nil, err
	}
	if err := clone(from, path); err != nil {
		return nil, err
	}
	snapshot, err := d.snapshot(id)
	return &csi.CreateSnapshotResponse{Snapshot: snapshot}, err
}

func (d *driver) snapshot(id string) (*csi.Snapshot, error) {
	path, err := d.existing("snapshots", id)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	source, _, _ := strings.Cut(id, "@")
	made := timestamppb.New(info.ModTime())
	if change, ok := info.Sys().(*syscall.Stat_t); ok {
		made = &timestamppb.Timestamp{Seconds: change.Ctim.Sec, Nanos: int32(change.Ctim.Nsec)}
	}
	return &csi.Snapshot{SnapshotId: id, SourceVolumeId: source, CreationTime: made, ReadyToUse: true}, nil
}

func (d *driver) DeleteSnapshot(_ context.Context, in *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	path, err := d.folder("snapshots", in.GetSnapshotId())
	if err != nil {
		return nil, err
	}
	return &csi.DeleteSnapshotResponse{}, os.RemoveAll(path)
}

func (d *driver) ListSnapshots(_ context.Context, in *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	entries, err := os.ReadDir(filepath.Join(d.root, "snapshots"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := &csi.ListSnapshotsResponse{}
	for _, entry := range entries {
		source, _, _ := strings.Cut(entry.Name(), "@")
		if strings.HasPrefix(entry.Name(), ".") ||
			(in.GetSnapshotId() != "" && in.GetSnapshotId() != entry.Name()) ||
			(in.GetSourceVolumeId() != "" && in.GetSourceVolumeId() != source) {
			continue
		}
		snapshot, err := d.snapshot(entry.Name())
		if err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: snapshot})
	}
	return out, nil
}

// Node.

func (d *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.node}, nil
}

func (d *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

func (d *driver) NodePublishVolume(_ context.Context, in *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	from, err := d.existing("volumes", in.GetVolumeId())
	if err != nil {
		return nil, err
	}
	target := in.GetTargetPath()
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, err
	}
	mounted, err := isMounted(target)
	if err != nil || mounted {
		return &csi.NodePublishVolumeResponse{}, err
	}
	if err := syscall.Mount(from, target, "", syscall.MS_BIND, ""); err != nil {
		return nil, err
	}
	if in.GetReadonly() {
		err = syscall.Mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	return &csi.NodePublishVolumeResponse{}, err
}

func (d *driver) NodeUnpublishVolume(_ context.Context, in *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	target := in.GetTargetPath()
	if mounted, err := isMounted(target); err != nil {
		return nil, err
	} else if mounted {
		if err := syscall.Unmount(target, 0); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

func isMounted(path string) (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return false, err
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == path {
			return true, nil
		}
	}
	return false, nil
}

// Registration with the kubelet, which watches a folder for sockets.

func (d *driver) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: driverName, Endpoint: d.socket, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (d *driver) NotifyRegistrationStatus(_ context.Context, in *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !in.GetPluginRegistered() {
		log.Printf("the kubelet refuses the driver: %s", in.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func listen(path string) net.Listener {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		log.Fatal(err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func main() {
	d := &driver{}
	var registrations string
	flag.StringVar(&d.root, "root", "", "folder of the volumes and snapshots")
	flag.StringVar(&d.node, "node", "", "name of this node")
	flag.StringVar(&d.socket, "socket", "", "socket of the driver")
	flag.StringVar(&registrations, "registration", "", "socket in the kubelet's plugins_registry folder")
	flag.Parse()
	for _, kind := range []string{"volumes", "snapshots"} {
		if err := os.MkdirAll(filepath.Join(d.root, kind), 0o755); err != nil {
			log.Fatal(err)
		}
	}
	server, kubelet := grpc.NewServer(), grpc.NewServer()
	csi.RegisterIdentityServer(server, d)
	csi.RegisterControllerServer(server, d)
	csi.RegisterNodeServer(server, d)
	registration.RegisterRegistrationServer(kubelet, d)
	failed := make(chan error, 2)
	driverSocket := listen(d.socket)
	go func() { failed <- server.Serve(driverSocket) }()
	registered := listen(registrations)
	go func() { failed <- kubelet.Serve(registered) }()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	select {
	case <-ended:
		kubelet.Stop() // the kubelet forgets the driver when its socket is gone
		server.Stop()
	case err := <-failed:
		log.Fatal(err)
	}
}
